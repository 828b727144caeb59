# Every target works from nothing: the first one that runs makes the virtual environment.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: dev test check bench load soak chaos fuzz openapi contract docs release lock format clean

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

dev: $(READY)
	@$(BIN)/eventbus dev

# Half of the tests' time is waiting for brokers and processes, so three share two cores.
# One that crashes ends the run: the other would wait for its tests in vain.
# What fails beside others has a second try alone; what fails twice, or with many others, fails the run.
# Programs for the chart's tests are made before, where they can be: building helm may take minutes, once.
test: $(READY)
	@rm -f .pytest_cache/v/eventbus/complete .pytest_cache/v/cache/lastfailed
	@$(BIN)/python -m tests.deploy.tools
	$(BIN)/pytest -n 3 --dist loadgroup --no-loadscope-reorder --max-worker-restart 0 || $(BIN)/python -m tests.again

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m loadtests.bench

# Against what `make dev` runs and against a real broker; PROFILE is one of single, batch, pull, webhook, mixed.
PROFILE ?= mixed
load: SECONDS ?= 30
load: $(READY)
	$(BIN)/python -m loadtests.loading --profile $(PROFILE) --seconds $(SECONDS)

soak: SECONDS ?= 600
soak: $(READY)
	$(BIN)/python -m loadtests.soak --seconds $(SECONDS)

# Kafka is away for a minute, and what was recorded of it is played by the alerts' tests; they have a shorter outage.
chaos: $(READY)
	EVENTBUS_OUTAGE_SECONDS=60 EVENTBUS_OUTAGE_RECORDING=tests/deploy/outage.yaml \
	$(BIN)/pytest -o faulthandler_timeout=900 tests/deploy/test_outage.py

# The short version of this is part of the tests.
fuzz: $(READY)
	EVENTBUS_FUZZ_SECONDS=600 $(BIN)/pytest tests/api/test_edge_fuzz.py

# The gateway serves the contract without any parser of YAML.
openapi: $(READY)
	$(BIN)/python -m openapi.build

# The short version of this is part of the tests too.
contract: $(READY)
	EVENTBUS_CONTRACT_EXAMPLES=200 $(BIN)/pytest tests/contract

# Into build/site; the tests do the same.
docs: $(READY)
	$(BIN)/mkdocs build --strict

# Built and looked at, and never sent anywhere.
release: $(READY)
	$(BIN)/python -m release

# Pinned with hashes and without the address of any index, so that every mirror serves the same files.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --upgrade
lock:
	test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet uv; }
	$(LOCK) pyproject.toml -o requirements/runtime.lock
	$(LOCK) pyproject.toml --group dev -o requirements/dev.lock
	echo botocore | $(LOCK) -c requirements/dev.lock -o requirements/aws.lock -
	echo opentelemetry-proto | $(LOCK) -c requirements/dev.lock -o requirements/telemetry.lock -
	echo hatchling | $(LOCK) -c requirements/dev.lock -o requirements/build.lock -

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
