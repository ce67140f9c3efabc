# make run     train on MNIST, then score the test set       make run ARGS="--epochs 5"
# make test    run the tests (ten minutes)
# make test-all   also those that take longer: a cluster, failures, 10,000 broken files (half an hour)
# make test-spark-3.5   the tests of `make test` on Spark 3.5, in a .venv of its own
# make cluster-demo   train and score on a master and two workers on this machine
# make hadoop-demo   the same on HDFS and YARN on this machine; needs Maven (mvn)
# make test-hadoop   the tests on HDFS, YARN and S3 (fifteen minutes); needs Maven (mvn)
# make modules.zip   the program in one file, for a driver in cluster mode (--py-files)
# make plots/reference/network.html   train on MNIST, and keep the page of that run in the repository
# make docs/arguments.md   the page of all arguments, from what --help says
# make browsers   install Chromium and Firefox for the tests of the page, as root on Debian and Ubuntu
# make lint    check style, types, that imports run downwards, and with npm the page's JavaScript
# make bench   compare speeds, and measure what checkpoints and shards cost (over an hour); fetches
#              PyTorch into a .venv of its own, with 5 GB of CUDA that it brings and we do not use
# make notebook   open walkthrough.ipynb
# Each of them first sets up what is missing (see setup.sh).

PYTHON_HERE := .venv/bin/python
NPX := npx
# Tracked files that may be larger than the rest; a picture or a data set need not be.
LARGE :=

.PHONY: modules.zip docs/arguments.md plots/reference/network.html browsers run test test-all \
    test-hadoop test-spark-3.5 cluster-demo hadoop-demo lint bench notebook clean

run: .venv/program
	@$(PYTHON_HERE) train.py --score $(ARGS)

test: .venv/tests
	$(PYTHON_HERE) -m pytest -q $(ARGS)

test-all: .venv/tests browsers
	HYPOTHESIS_CASES=10000 $(PYTHON_HERE) -m pytest -q -m "not hadoop" $(ARGS)

test-spark-3.5: .venv-spark-3.5/tests
	.venv-spark-3.5/bin/python -m pytest -q $(ARGS)

modules.zip: .venv/program
	@$(PYTHON_HERE) -m runtime.modules $@

docs/arguments.md: .venv/program
	@$(PYTHON_HERE) docs/arguments.py

plots/reference/network.html: .venv/program
	@place=$$(mktemp -d) && trap 'rm -r "$$place"' EXIT && \
	    $(PYTHON_HERE) train.py --data mnist --score --model-dir "$$place" --plots-dir "$$place" && \
	    cp "$$place/network.html" $@

browsers:
	@./setup.sh browsers

cluster-demo: .venv/program
	@$(PYTHON_HERE) -m cluster.demo $(ARGS)

hadoop-demo: .venv/program
	@$(PYTHON_HERE) -m cluster.hadoop_demo $(ARGS)

test-hadoop: .venv/tests
	$(PYTHON_HERE) -m pytest -q -m hadoop $(ARGS)

lint: .venv/tests
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m mypy
	PYTHONPATH=. .venv/bin/lint-imports
	@if command -v $(NPX) >/dev/null; then \
	    $(NPX) --yes @biomejs/biome@2.6.8 lint --error-on-warnings pictures/page/*.js pictures/page/*.css; \
	elif [ -n "$$CI" ]; then echo "no $(NPX): it has to check pictures/page"; exit 1; \
	else echo "no $(NPX) here: the page's JavaScript is not checked"; fi
	@large=$$(git ls-files -z -- . $(LARGE:%=':!%') | xargs -0r sh -c 'find "$$@" -size +600000c' sh); \
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

.venv/program: requirements.txt setup.sh
	./setup.sh requirements.txt
	@touch $@

.venv/tests: requirements.txt requirements-dev.txt setup.sh
	./setup.sh requirements-dev.txt
	@touch $@

.venv-spark-3.5/tests: requirements.txt requirements-dev.txt requirements-spark-3.5.txt setup.sh
	VENV=.venv-spark-3.5 ./setup.sh requirements-dev.txt requirements-spark-3.5.txt
	@touch $@

.venv-bench/bench: requirements.txt requirements-bench.txt setup.sh
	VENV=.venv-bench ./setup.sh requirements-bench.txt
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-spark-3.5 model plots/*.png
