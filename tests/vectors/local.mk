# SPDX-License-Identifier: Apache-2.0

# generate.py makes the .tsv files by oracle.py, which is written from spec.md and is nobody's copy;
# exact.py is written from the definitions, in fractions.
EXTRA_DIST += \
	%D%/calendar.tsv \
	%D%/concurrency.tsv \
	%D%/changes.tsv \
	%D%/debt.tsv \
	%D%/exact.py \
	%D%/fixed-window.tsv \
	%D%/generate.py \
	%D%/oracle.py \
	%D%/sliding-log.tsv \
	%D%/sliding-window.tsv \
	%D%/token-bucket.tsv \
	%D%/traffic.tsv \
	%D%/windows.tsv
