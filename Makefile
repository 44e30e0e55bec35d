# make         走一遍全章，不需要安装任何东西
#              walk through the chapter; nothing to install
# make test    检查一切；pytest 和 mypy 装进 .test，只装一次
#              check everything; pytest and mypy go into .test, once
# make check   同样检查，用手边的 Python 里的 pytest 和 mypy
#              the same, with the pytest and mypy of the Python at hand

PYTHON ?= python3
PACKAGES = pytest==9.2.0 mypy==2.4.1
MODULES = softmax_ref.py attention_ref.py variants_ref.py
ENV := .test/$(shell $(PYTHON) -V 2>&1 | tr -d ' ')

walk: version
	@shown=$$(for file in $(MODULES); do $(PYTHON) -B $$file || exit; done); \
	status=$$?; printf '%s\n' "$$shown"; exit $$status

test: version $(ENV)/ready
	@$(MAKE) --no-print-directory check PYTHON=$(ENV)/bin/python

# SAFEPATH, -c, --noconftest：文件夹里别的文件不影响 | other files change nothing
check: version
	@PYTHONSAFEPATH=1 $(PYTHON) -B -m pytest -q -x -rN --tb=short -c /dev/null \
	--noconftest --import-mode=append -p no:cacheprovider test_all.py
	@PYTHONSAFEPATH=1 $(PYTHON) -m mypy --strict --config-file= \
	--cache-dir=.test/mypy $(MODULES) test_all.py

$(ENV)/ready: Makefile | version
	@echo "making $(ENV), once, with $(PACKAGES)"
	@$(PYTHON) -m venv $(ENV)
	@$(ENV)/bin/python -m pip install -q $(PACKAGES)
	@touch $@

version:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit( \
	"this needs Python 3.10 or later, and $(PYTHON) is " + sys.version.split()[0])'

.PHONY: walk test check version
