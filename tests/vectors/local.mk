# SPDX-License-Identifier: Apache-2.0

# generate.py makes the .tsv files by oracle.py, which counts in fractions and is nobody's copy.
EXTRA_DIST += \
	%D%/calendar.tsv \
	%D%/fixed-window.tsv \
	%D%/generate.py \
	%D%/oracle.py \
	%D%/sliding-window.tsv \
	%D%/token-bucket.tsv \
	%D%/traffic.tsv \
	%D%/windows.tsv
