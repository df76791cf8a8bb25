# SPDX-License-Identifier: Apache-2.0

# The Python package as its users have it. RLC_PYTHON_LIB names another folder than the build tree's.
python_test_files = \
	%D%/test_python_async.py \
	%D%/test_python_calls.py \
	%D%/test_python_gunicorn.py \
	%D%/test_python_http.py \
	%D%/test_python_lease.py \
	%D%/test_python_life.py \
	%D%/test_python_pip.py \
	%D%/test_python_recipes.py \
	%D%/test_python_types.py \
	%D%/test_python_vectors.py
EXTRA_DIST += $(python_test_files) %D%/conftest.py

python_tests =
sanitized_needs =
if WITH_PYTHON_BINDING
python_tests += $(python_test_files)

# Under gcc's sanitizers, those that skip nothing there.
if WITH_ASAN
sanitized_tests += %D%/test_python_calls.py %D%/test_python_lease.py
sanitized_needs += bindings/python/lib/stamp libcore/rlctl/rlctl
endif

# The same against what make install has put in place.
installcheck-local: installcheck-python
installcheck-python:
if WITH_PYTEST
	$(RLC_ENV) RLC_PYTHON_LIB='$(DESTDIR)$(RLC_PYTHONDIR)'; export RLC_PYTHON_LIB; \
	LD_LIBRARY_PATH='$(DESTDIR)$(libdir)'; export LD_LIBRARY_PATH; \
	$(SHELL) $(srcdir)/tests/integration/pytest.sh $(srcdir)/%D%/test_python_calls.py \
		$(srcdir)/%D%/test_python_vectors.py
endif
endif
