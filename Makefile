# make                            走一遍全章，不需要安装任何东西
#                                 walk through the chapter; nothing to install
# make SCORES="2 1 0.1" T=0.5     用自己的分数和温度
#                                 with scores and a temperature of your own
# make -s copy NAMES="..."        打印这些函数和它们需要的一切
#                                 print functions with all that they need
# make test                       运行所有例子、性质和数值的检验
#                                 check every example, property and number

PYTHON ?= python3
SOURCES = softmax_ref.py attention_ref.py variants_ref.py test_all.py
PACKAGES = pytest==9.2.0 mypy==2.4.1

walk:
	@$(PYTHON) -B softmax_ref.py $(SCORES) $(if $(T),T=$(T))
	@$(PYTHON) -B attention_ref.py
	@$(PYTHON) -B variants_ref.py $(SCORES) $(if $(T),T=$(T))

copy:
	@$(PYTHON) -B softmax_ref.py $(or $(NAMES),-h)

# 手边的 Python 有 pytest 和 mypy 就用它；否则建一次 .venv，以后不再联网
# The Python at hand where it has pytest and mypy; otherwise .venv, made once
test:
	@command -v $(PYTHON) >/dev/null || { \
	echo "make test needs Python: there is no $(PYTHON)" >&2; exit 1; }
	@if $(PYTHON) -c "import pytest, mypy" 2>/dev/null; \
	then python="$(PYTHON)"; \
	else $(MAKE) -s .venv/ready && python=.venv/bin/python; \
	fi && $$python -B -m pytest -q -p no:cacheprovider test_all.py \
	&& $$python -m mypy --strict --cache-dir=/dev/null $(SOURCES)

.venv/ready:
	@echo "making .venv, once, with $(PACKAGES)"
	@{ $(PYTHON) -m venv .venv \
	&& .venv/bin/python -m pip install -q $(PACKAGES) \
	&& touch $@; } || { rm -rf .venv; \
	echo "make test needs pytest and mypy, and could not set them up:" \
	"the cause is above" >&2; exit 1; }

.PHONY: walk copy test
