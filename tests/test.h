#pragma once
/* cmocka with what it needs first. A test file defines functions named as sentences and a main() that runs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of that name; tests use assert_… */
