# Keras Foundry. The two commands to begin with: make demo, make test.

PORT ?= 8500
REST_PORT ?= 8501
UI_PORT ?= 5000
PYTHONS ?= python3.12 python3.13
MODEL ?= digits
REPOSITORY ?= models
MLFLOW_TRACKING_URI ?= sqlite:///$(CURDIR)/mlruns/mlflow.db
export MLFLOW_TRACKING_URI

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
SERVER = $(BIN)/python -m serving.server --host=127.0.0.1 --port=$(PORT) \
	--model_config_file=$(REPOSITORY)/models.config --allow_version_labels_for_unavailable_models
AT = --repository $(REPOSITORY) --address localhost:$(PORT)

OPEN_STORE = $(BIN)/python -c "from pipelines.store import open_store; open_store()"

.PHONY: demo test test-all pythons check docs wheel sbom ui serve gpu install install-dev lock clean

demo: install ## Train, track, export, validate, register, deploy, serve, query.
	@$(BIN)/python -m pipelines image_classification --name $(MODEL)
	@if $(BIN)/python -m serving status $(MODEL) $(AT) 2>/dev/null | grep -q AVAILABLE; then \
		$(BIN)/python -m serving deploy $(MODEL) --engine embedded $(AT) || exit; \
	else \
		said=$$($(BIN)/python -m serving deploy $(MODEL) --engine embedded \
			--repository $(REPOSITORY)) || exit; \
		echo "$$said" | grep -v '^no running server'; \
		echo "starting a model server on port $(PORT)"; \
		$(SERVER) >$(REPOSITORY)/server.log 2>&1 & \
		trap "kill $$! 2>/dev/null; wait $$!" EXIT; \
	fi; \
	version=$$(ls $(REPOSITORY)/$(MODEL) | sort -n | tail -n 1); \
	$(BIN)/python -m serving query $(MODEL) \
		$(REPOSITORY)/$(MODEL)/$$version/assets.extra/examples \
		--address localhost:$(PORT) --wait 60 --picture $(REPOSITORY)/answers.png \
	|| { echo "the server's log:"; grep -v '^[WI]' $(REPOSITORY)/server.log; exit 1; }
	@echo
	@echo "next:"
	@echo "  make ui      compare runs in MLflow's UI"
	@echo "  make test    run the test suite"
	@echo "  make serve   serve the model, and from another terminal query it:"
	@echo "               $(BIN)/python -m serving query $(MODEL) IMAGE.png"
	@echo "  the same run through MLflow projects:"
	@echo "               . $(BIN)/activate"
	@echo "               export MLFLOW_TRACKING_URI='$(MLFLOW_TRACKING_URI)'"
	@echo "               mlflow run . -e image_classification --env-manager=local \\"
	@echo "                   --experiment-name image_classification -P epochs=3"

test: install-dev ## Run the test suite.
	$(BIN)/python -m pytest

test-all: install-dev ## Run it with the slow tests, which look deeper.
	$(BIN)/python -m pytest -m ''

pythons: install-dev ## Install the wheel under PYTHONS, an environment each, and train and serve.
	PYTHONS="$(PYTHONS)" $(BIN)/python -m pytest -n 0 tests/foundry/test_installed.py

check: install-dev ## Lint, format check, type check, known vulnerabilities.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.audit

docs: install-dev ## Build the documentation as a site, without a broken link.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html, or with a search: python3 -m http.server --directory site"

wheel: install ## Build the wheel of the last commit: the same bytes each time.
	@umask 022 && folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	git archive HEAD | tar --extract --no-same-permissions --directory "$$folder" && \
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/uv build --quiet --offline \
		--no-build-isolation --python $(BIN)/python --wheel --out-dir dist "$$folder" && \
	ls dist/*.whl

sbom: install-dev ## Write dist/sbom.json: what requirements.lock installs, as CycloneDX.
	@mkdir -p dist
	$(BIN)/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file dist/sbom.json

ui: install ## Open the MLflow UI on the project's store.
	@$(BIN)/python -m pipelines ui --port $(UI_PORT)

serve: install ## Serve the model repository on the best engine there is.
	$(BIN)/python -m serving up --repository $(REPOSITORY) --port $(PORT) --rest_port $(REST_PORT)

gpu: install ## Measure a GPU, with TensorFlow and, where it is installed, with JAX.
	$(BIN)/python -m benchmarks gpu
	@if $(BIN)/python -c 'import jax' 2>/dev/null; then \
		KERAS_BACKEND=jax $(BIN)/python -m benchmarks gpu; \
	else \
		echo "JAX is not installed: pip install 'jax[cuda12]' for its half"; \
	fi

install: $(INSTALLED) ## Create .venv with the pinned and hashed requirements.

install-dev: $(INSTALLED_DEV) ## Add what tests and checks need.

# Installs a lock file with uv, which takes a fraction of pip's time. A package index that only pip
# is configured for (in pip.conf, say) is out of uv's reach: then pip installs the same files.
define INSTALL
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps --no-build-isolation \
		--compile-bytecode -r $(1) || \
	{ echo "uv cannot install $(1), trying pip"; $(BIN)/python -m pip install \
		--disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r $(1); }
endef

$(INSTALLED): requirements-build.lock requirements.lock pyproject.toml
	@command -v git >/dev/null || { echo "git is missing: apt install git"; exit 1; }
	@python=; venv=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		$$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			2>/dev/null || continue; \
		python=$$candidate; \
		$$candidate -c 'import ensurepip, venv' 2>/dev/null && venv=yes && break; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11, 3.12 or 3.13 is missing: apt install python3"; exit 1; }; \
	[ -n "$$venv" ] || { echo "$$python has no venv module: apt install python3-venv"; exit 1; }; \
	echo "creating .venv with $$($$python --version)"; \
	$$python -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-deps -r requirements-build.lock
	$(call INSTALL,requirements.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --no-index --editable .
	@$(OPEN_STORE)
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements-dev.lock
	$(call INSTALL,requirements-dev.lock)
	@touch $@

COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet

lock: install ## Resolve pyproject.toml into the lock files.
	printf 'setuptools\nsetuptools-scm\nuv\nwheel\n' | $(COMPILE) - -o requirements-build.lock
	$(COMPILE) pyproject.toml -o requirements.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"], sep="\n")' \
		| $(COMPILE) - --constraint requirements.lock -o requirements-dev.lock

clean: ## Remove the environment, the store and what is deployed.
	rm -rf .venv models mlruns/mlflow.db mlruns/artifacts site
