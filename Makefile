# make         走一遍全章，不需要安装任何东西
#              walk through the chapter; nothing to install
# make test    检查一切；pytest 和 mypy 装进 .venv，只装一次
#              check everything; pytest and mypy go into .venv, once

PYTHON ?= python3
PACKAGES = pytest==9.2.0 mypy==2.4.1
MODULES = softmax_ref.py attention_ref.py variants_ref.py

walk: python
	@for file in $(MODULES); do $(PYTHON) -B $$file || exit; done

# 已有这两个版本的 Python 直接用，否则用 .venv；-I：不受文件夹里别的文件影响
# A Python that has these versions will do, else .venv; -I: whatever else is
# in the folder changes nothing
HAS = -I -c 'import sys; from importlib.metadata import version as v; \
	sys.exit(any(v(p) != n for p, n in (a.split("==") for a in sys.argv[1:])))'

test: python
	@run=$(PYTHON); $$run $(HAS) $(PACKAGES) 2>/dev/null || { \
	run=.venv/bin/python; \
	test "$$($$run -V 2>&1)" = "$$($(PYTHON) -V 2>&1)" && \
	$$run $(HAS) $(PACKAGES) 2>/dev/null || { \
	echo "making .venv, once, with $(PACKAGES)"; \
	$(PYTHON) -I -m venv --clear .venv && $$run -I -m pip install -q $(PACKAGES); \
	} || { echo "make test needs $(PACKAGES), see above" >&2; exit 1; }; }; \
	$$run -I -X utf8 -B -m pytest -q -x -rN --tb=short -c /dev/null --rootdir=. \
	--noconftest --import-mode=append -p no:cacheprovider test_all.py && \
	$$run -I -m mypy --strict --config-file= $(MODULES) test_all.py

python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit( \
	"this needs Python 3.10 or later, and $(PYTHON) is " + sys.version.split()[0])'

.PHONY: walk test python
