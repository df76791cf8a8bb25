# SPDX-License-Identifier: Apache-2.0

# The PHP extension and its front, in PHPUnit.
php_test_files = \
	%D%/CallsTest.php \
	%D%/HttpTest.php \
	%D%/LifeTest.php \
	%D%/phpize.sh \
	%D%/ReadmeTest.php \
	%D%/StubsTest.php \
	%D%/SymfonyTest.php \
	%D%/VectorsTest.php
EXTRA_DIST += $(php_test_files) %D%/bootstrap.php %D%/phpunit.sh %D%/RedisServer.php \
	%D%/surface.php

php_tests =
if WITH_PHP_BINDING
if WITH_PHPUNIT
php_tests += $(php_test_files)
endif
endif
