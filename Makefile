.PHONY: demo test lint bench campaign docs pictures lowest

demo:            ## the main job in the embedded laboratory
	uv run brittle demo

test:            ## the tests (make test ARGUMENTS="-k loss --fast")
	uv run tests/run_tests.py $(ARGUMENTS)

lint:            ## style and types
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy

bench:           ## benchmarks (make bench BENCH_ARGS="--quick --json")
	uv run benchmarks/run.py $(BENCH_ARGS)

campaign:        ## malformed inputs over all commands, and kills (make campaign CAMPAIGN_ARGS="--inputs 200 --kills 8")
	uv run tests/campaign/run.py --write $(CAMPAIGN_ARGS)

docs:            ## the pages as a site, in site/
	NO_MKDOCS_2_WARNING=1 uv run --group docs mkdocs build --strict

pictures:        ## screenshots of the app on what `make demo` left, in docs/images
	uv run docs/pictures.py

lowest:          ## the tests with the lowest versions of dependencies that pyproject.toml allows (weekly, by hand)
	uv run --isolated --resolution lowest-direct tests/run_tests.py --fast
