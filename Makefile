# make run            train on MNIST, then score the test set       make run ARGS="--epochs 5"
# make test           run the tests that a change needs (2 minutes)
# make test-all       all tests but those on Hadoop: clusters, failures, browsers (10 minutes)
# make test-hadoop    the tests on HDFS, YARN and S3 (8 minutes); needs Maven (mvn)
# make test-spark-3.5 the tests of `make test` on Spark 3.5, in a .venv of its own
# make mutations      make small errors in the program, one by one; a test must find each (4 minutes)
# make lint           check style, types and imports, and with npm the page's JavaScript
# make cluster-demo   train and score on a Spark cluster of two executors on this machine
# make hadoop-demo    the same on HDFS and YARN on this machine; needs Maven (mvn)
# make modules.zip    the program in one file, for a driver in cluster mode (--py-files)
# make plots/reference/network.html   train on MNIST, and keep the page of that run in the repository
# make browsers       install Chromium and Firefox for the tests of the page (Debian, as root)
# make bench          all measurements (4 hours) and the docs' tables; PyTorch in a .venv of its own (7 GB);
#                     BENCHMARKS="epochs jobs" makes some of them, ARGS="--rounds 1" fewer rounds
# make notebook       open the course, lessons/
# make clean          delete the environments (.venv*) and the figures; keep the models
#
# Each first sets up what is missing (setup.sh). ARGS passes more arguments on.

PYTHON_HERE := .venv/bin/python
NPX := npx
# Tracked files that may be larger than 600 KB.
LARGE :=
BENCHMARKS := epochs jobs mllib scaling executors memory recipes

# Keep what Python and pytest have compiled: this saves seconds in each run.
unexport PYTHONDONTWRITEBYTECODE
# Processes with a Spark of their own: two, or three for long tests, which wait now and then.
PYTEST := -m pytest -q --dist loadfile
LONG := --no-loadscope-reorder -n 3

.PHONY: help modules.zip plots/reference/network.html browsers run test test-all test-hadoop test-spark-3.5 mutations \
    cluster-demo hadoop-demo lint bench notebook clean

# The first target: what `make` alone does.
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

run: .venv/program
	@$(PYTHON_HERE) train.py --score $(ARGS)

test: .venv/tests
	@echo "2 minutes; \`make test-all\` runs the rest"
	$(PYTHON_HERE) $(PYTEST) -n 2 $(ARGS)

test-all: .venv/tests browsers
	@echo "10 minutes; \`make test-hadoop\` runs those on Hadoop"
	HYPOTHESIS_CASES=5000 $(PYTHON_HERE) $(PYTEST) $(LONG) -m "not hadoop and not short" $(ARGS)

test-spark-3.5: .venv-spark-3.5/tests
	.venv-spark-3.5/bin/python $(PYTEST) -n 2 $(ARGS)

modules.zip: .venv/program
	@$(PYTHON_HERE) -c 'from runtime.modules import pack; pack("$@")'
	@echo "wrote $@"

plots/reference/network.html: .venv/program
	@place=$$(mktemp -d) && trap 'rm -r "$$place"' EXIT && \
	    $(PYTHON_HERE) train.py --data mnist --score --model-dir "$$place" --plots-dir "$$place" && \
	    cp "$$place/network.html" $@

browsers:
	@./setup.sh browsers

# Replace local-cluster[...] with your own master's URL, such as spark://HOST:7077.
cluster-demo: .venv/program
	@mkdir -p cluster-demo
	SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON="$$PWD/$(PYTHON_HERE)" \
	    $(dir $(PYTHON_HERE))spark-submit --master "local-cluster[2,1,1024]" train.py --score \
	    --model-dir cluster-demo/model --plots-dir cluster-demo/plots $(ARGS) 2> cluster-demo/spark.log

hadoop-demo: .venv/program
	@$(PYTHON_HERE) -m cluster.hadoop_demo $(ARGS)

test-hadoop: .venv/tests
	@echo "8 minutes"
	$(PYTHON_HERE) $(PYTEST) $(LONG) -m hadoop $(ARGS)

mutations: .venv/tests
	$(PYTHON_HERE) tests/mutations.py $(ARGS)

lint: .venv/tests
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m mypy
	PYTHONPATH=. .venv/bin/lint-imports
	@if command -v $(NPX) >/dev/null; then \
	    $(NPX) --yes @biomejs/biome@2.6.8 lint --error-on-warnings pictures/page/*.js pictures/page/*.css; \
	elif [ -n "$$CI" ]; then echo "no $(NPX): it has to check pictures/page"; exit 1; \
	else echo "no $(NPX) here: the page's JavaScript is not checked"; fi
	@large=$$(git ls-files -z -- . $(LARGE:%=':!%') 2>/dev/null | xargs -0r sh -c 'find "$$@" -size +600000c' sh); \
	if [ -n "$$large" ]; then echo "larger than 600 KB: $$large; make it smaller, or name it in" \
	    "LARGE in the Makefile"; exit 1; fi

bench: .venv-bench/bench
	@for name in $(BENCHMARKS); do \
	    .venv-bench/bin/python benchmarks/$$name.py $(ARGS) || exit; \
	done
	@.venv-bench/bin/python benchmarks/tables.py

notebook: .venv/tests
	@$(PYTHON_HERE) -m notebook --ip=127.0.0.1 $$(test "$$(id -u)" != 0 || echo --allow-root) \
	    --JupyterNotebookApp.default_url=/notebooks/lessons/1_images_as_an_rdd.ipynb

# setup.sh checks what is there, and makes a broken environment again.
.venv/program: FORCE
	@./setup.sh requirements.txt

.venv/tests: FORCE
	@./setup.sh requirements-dev.txt

.venv-spark-3.5/tests: FORCE
	@VENV=.venv-spark-3.5 ./setup.sh requirements-dev.txt requirements-spark-3.5.txt

.venv-bench/bench: FORCE
	@VENV=.venv-bench ./setup.sh requirements-bench.txt

FORCE:

clean:
	rm -rf .venv .venv-bench .venv-spark-3.5 plots/*.png
	@if [ -e model ]; then echo "model/ is kept: rm -r model deletes the trained networks"; fi
