# SPDX-License-Identifier: Apache-2.0

# make bench: figures and ratios, for people; nothing in make check depends on them.
EXTRA_PROGRAMS += %D%/bench_check %D%/bench_share %D%/bench_table
tests_bench_bench_check_SOURCES = %D%/bench_check.c
tests_bench_bench_check_LDADD = libcore/librlcore-static.la
tests_bench_bench_share_SOURCES = %D%/bench_share.c
tests_bench_bench_share_LDADD = libcore/librlcore-static.la
tests_bench_bench_table_SOURCES = %D%/bench_table.c
tests_bench_bench_table_LDADD = libcore/librlcore-static.la
CLEANFILES += %D%/bench_check %D%/bench_share %D%/bench_table

EXTRA_DIST += %D%/check_cost.py %D%/php_cost.php %D%/python_cost.py %D%/redis_cost.py %D%/run.py

bench: all %D%/bench_check %D%/bench_share %D%/bench_table tests/integration/hammer
	$(RLC_ENV) $${PYTHON:-python3} $(srcdir)/%D%/run.py
.PHONY: bench
