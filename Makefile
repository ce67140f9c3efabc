# make run            train on MNIST, then score the test set       make run ARGS="--epochs 5"
# make test           run the tests that a change needs (2 minutes)
# make test-all       all tests but those on Hadoop: clusters, failures, browsers (10 minutes)
# make test-hadoop    the tests on HDFS, YARN and S3 (8 minutes); needs Maven (mvn)
# make test-spark-3.5 the tests of `make test` on Spark 3.5, in a .venv of its own
# make mutations      break the program in 30 places; `make test` has to notice (30 minutes)
# make lint           check style, types and imports, and with npm the page's JavaScript
# make cluster-demo   train and score on a Spark cluster of two executors on this machine
# make hadoop-demo    the same on HDFS and YARN on this machine; needs Maven (mvn)
# make modules.zip    the program in one file, for a driver in cluster mode (--py-files)
# make docs/arguments.md   write the page of all arguments, from what --help says
# make browsers       install Chromium and Firefox for the tests of the page (Debian, as root)
# make bench          compare speeds (over an hour); fetches PyTorch into a .venv of its own
# make notebook       open walkthrough.ipynb
# make clean          delete the environments (.venv*) and the figures; keep the models
#
# Each first sets up what is missing (setup.sh). ARGS passes more arguments on.

PYTHON_HERE := .venv/bin/python
NPX := npx
# Tracked files that may be larger than the rest; a picture or a data set need not be.
LARGE :=

.PHONY: help modules.zip docs/arguments.md browsers run test test-all test-hadoop test-spark-3.5 mutations \
    cluster-demo hadoop-demo lint bench notebook clean

# The first target: what `make` alone does.
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

run: .venv/program
	@$(PYTHON_HERE) train.py --score $(ARGS)

test: .venv/tests
	@echo "2 minutes; \`make test-all\` runs the rest"
	$(PYTHON_HERE) -m pytest -q $(ARGS)

test-all: .venv/tests browsers
	@echo "10 minutes; \`make test-hadoop\` runs those on Hadoop"
	HYPOTHESIS_CASES=10000 $(PYTHON_HERE) -m pytest -q -m "not hadoop" $(ARGS)

test-spark-3.5: .venv-spark-3.5/tests
	.venv-spark-3.5/bin/python -m pytest -q $(ARGS)

modules.zip: .venv/program
	@$(PYTHON_HERE) -m runtime.modules $@

docs/arguments.md: .venv/program
	@$(PYTHON_HERE) docs/arguments.py

browsers:
	@./setup.sh browsers

# In the place of local-cluster stands your own master's URL, such as spark://HOST:7077.
cluster-demo: .venv/program
	@mkdir -p cluster-demo
	SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON="$$PWD/$(PYTHON_HERE)" \
	    $(dir $(PYTHON_HERE))spark-submit --master "local-cluster[2,1,1024]" train.py --score \
	    --model-dir cluster-demo/model --plots-dir cluster-demo/plots $(ARGS) 2> cluster-demo/spark.log

hadoop-demo: .venv/program
	@$(PYTHON_HERE) -m cluster.hadoop_demo $(ARGS)

test-hadoop: .venv/tests
	@echo "8 minutes"
	$(PYTHON_HERE) -m pytest -q -m hadoop $(ARGS)

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

bench: .venv/program .venv-bench/bench
	$(PYTHON_HERE) benchmarks/compare.py $(ARGS)
	$(PYTHON_HERE) benchmarks/chain.py $(ARGS)
	$(PYTHON_HERE) benchmarks/scaling.py $(ARGS)
	$(PYTHON_HERE) benchmarks/accuracy.py $(ARGS)
	$(PYTHON_HERE) benchmarks/recipes.py $(ARGS)
	$(PYTHON_HERE) benchmarks/checkpoint_cost.py $(ARGS)
	$(PYTHON_HERE) benchmarks/driver_memory.py $(ARGS)
	$(PYTHON_HERE) benchmarks/scale.py $(ARGS)
	.venv-bench/bin/python benchmarks/pytorch.py

notebook: .venv/tests
	$(PYTHON_HERE) -m notebook walkthrough.ipynb

# setup.sh knows what is there, and mends an environment that is broken.
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
