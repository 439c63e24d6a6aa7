#include "test.h"

#include "cli/interrupt.h"

#include <annex/context.h>

#include <signal.h>

static void a_signal_cancels_the_context_and_nothing_that_has_gone(void **state)
{
	struct annex_context_options options = ANNEX_CONTEXT_OPTIONS_INIT;
	struct annex_context *context = NULL;

	(void)state;
	options.data_folder = options.config_folder = options.runtime_folder = "/nonexistent";
	assert_int_equal(annex_context_new(&context, &options, NULL), 0);
	interrupt_install(context);
	raise(SIGTERM);
	assert_int_equal(interrupt_take(context), SIGTERM);
	interrupt_forget();
	annex_context_unref(context);
	raise(SIGTERM);
	assert_int_equal(interrupt_signal(), SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_cancels_the_context_and_nothing_that_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
