# SPDX-License-Identifier: Apache-2.0

# The Python package rlcore: Python files, and one extension module that SWIG and src/ make.
python_files = \
	%D%/rlcore/__init__.py \
	%D%/rlcore/_async.py \
	%D%/rlcore/_errors.py \
	%D%/rlcore/_http.py \
	%D%/rlcore/_index.py \
	%D%/rlcore/_lease.py \
	%D%/rlcore/_limiter.py \
	%D%/rlcore/_log.py \
	%D%/rlcore/_policy.py \
	%D%/rlcore/_rlcore.pyi \
	%D%/rlcore/asgi.py \
	%D%/rlcore/limits_storage.py \
	%D%/rlcore/py.typed \
	%D%/rlcore/testing.py \
	%D%/rlcore/wsgi.py
python_sources = \
	%D%/src/call.c \
	%D%/src/core.c \
	%D%/src/decision.c \
	%D%/src/entry.c \
	%D%/src/fields.c \
	%D%/src/log.c \
	%D%/src/queue.c \
	%D%/src/rlpy.c \
	%D%/src/rlpy.h
python_wrapper = %D%/rlcore_wrap.c
EXTRA_DIST += $(python_files) $(python_sources) $(python_wrapper) \
	%D%/MANIFEST.in %D%/README.md %D%/pyproject.toml %D%/rlcore_python.i %D%/setup.py

# A release has it already: then nobody needs SWIG.
$(python_wrapper): %D%/rlcore_python.i $(bindings_shared) libcore/include/rlcore/rlcore.h
	$(AM_V_GEN)$(MKDIR_P) %D%/swig && \
	{ test '$(SWIG)' || { echo 'swig is missing: install it, configure again'; exit 1; }; } && \
	$(SWIG) -python -builtin -threads -I$(srcdir)/bindings -I$(srcdir)/libcore/include \
		-outdir %D%/swig -o $@.tmp $(srcdir)/%D%/rlcore_python.i && mv $@.tmp $@
MAINTAINERCLEANFILES += $(python_wrapper)

if WITH_PYTHON_BINDING
# SWIG's C is compiled by itself: its warnings are not ours to mend.
noinst_LTLIBRARIES += %D%/librlpy-wrap.la
bindings_python_librlpy_wrap_la_SOURCES =
nodist_bindings_python_librlpy_wrap_la_SOURCES = $(python_wrapper)
bindings_python_librlpy_wrap_la_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/libcore/include \
	-I$(srcdir)/%D%/src $(PYTHON_CPPFLAGS)
bindings_python_librlpy_wrap_la_CFLAGS = $(RLC_VISIBILITY_CFLAGS) $(AM_CFLAGS) -w

rlcorepyexecdir = $(RLC_PYTHONDIR)/rlcore
rlcorepyexec_LTLIBRARIES = %D%/_rlcore.la
bindings_python__rlcore_la_SOURCES = $(python_sources)
bindings_python__rlcore_la_CPPFLAGS = $(bindings_python_librlpy_wrap_la_CPPFLAGS)
bindings_python__rlcore_la_CFLAGS = $(RLC_VISIBILITY_CFLAGS) $(AM_CFLAGS)
bindings_python__rlcore_la_LDFLAGS = $(AM_LDFLAGS) -module -shared -avoid-version \
	-export-symbols-regex '^PyInit__rlcore$$'
bindings_python__rlcore_la_LIBADD = %D%/librlpy-wrap.la libcore/librlcore.la

rlcorepydir = $(RLC_PYTHONDIR)/rlcore
rlcorepy_DATA = $(python_files)

# The package as it will be installed, for tests: build/bindings/python/lib goes into PYTHONPATH.
noinst_DATA = %D%/lib/stamp
%D%/lib/stamp: $(python_files) %D%/_rlcore.la
	$(AM_V_GEN)rm -rf %D%/lib && $(MKDIR_P) %D%/lib/rlcore && \
	for file in $(python_files); do \
	  if test -f $$file; then cp $$file %D%/lib/rlcore/; \
	  else cp $(srcdir)/$$file %D%/lib/rlcore/; fi || exit 1; \
	done && \
	ln -s ../../.libs/_rlcore.so %D%/lib/rlcore/_rlcore.so && touch $@
# As with the module: linked anew at install, and libtool's note is in the way.
install_rlcorepy = install-rlcorepyexecLTLIBRARIES
$(install_rlcorepy): install-libLTLIBRARIES
install-exec-hook:
	rm -f '$(DESTDIR)$(rlcorepyexecdir)/_rlcore.la'
uninstall-local:
	rm -f '$(DESTDIR)$(rlcorepyexecdir)/_rlcore.so'
	-rmdir '$(DESTDIR)$(rlcorepydir)' 2> /dev/null
endif

clean-local: clean-python-lib
clean-python-lib:
	rm -rf %D%/lib %D%/swig .hypothesis
.PHONY: clean-python-lib
