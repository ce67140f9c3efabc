# make run     train on MNIST, then score the test set       make run ARGS="--epochs 5"
# make test    run the tests
# make lint    check style
# make bench   compare speeds (half an hour)
# make notebook   open walkthrough.ipynb
# Each of them first sets up what is missing (see setup.sh).

PYTHON_HERE := .venv/bin/python
# The places that training was told are where scoring has to look.
PLACES = $$(printf '%s' '$(ARGS)' | grep -oE -e '--(data|model-dir|plots-dir)[ =][^ ]+')

.PHONY: run test lint bench notebook clean

run: .venv/program
	@$(PYTHON_HERE) train.py $(ARGS)
	@$(PYTHON_HERE) predict.py $(PLACES)

test: .venv/tests
	$(PYTHON_HERE) -m pytest -q $(ARGS)

lint: .venv/tests
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .

bench: .venv/program
	$(PYTHON_HERE) benchmarks/compare.py $(ARGS)
	$(PYTHON_HERE) benchmarks/scaling.py $(ARGS)
	$(PYTHON_HERE) benchmarks/accuracy.py $(ARGS)

notebook: .venv/tests
	$(PYTHON_HERE) -m notebook walkthrough.ipynb

.venv/program: requirements.txt setup.sh
	./setup.sh requirements.txt
	@touch $@

.venv/tests: requirements.txt requirements-dev.txt setup.sh
	./setup.sh requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv model plots/*.png
