/* Boot a machine and run a command in it: run-command MACHINE COMMAND [ARGUMENT…] */
#include <annex/annex.h>

#include <stdio.h>

int main(int argc, char **argv)
{
	struct annex_session_options options = ANNEX_SESSION_OPTIONS_INIT;
	struct annex_context *context = NULL;
	struct annex_machine *machine = NULL;
	struct annex_session *session = NULL;
	struct annex_error *err = NULL;
	int status = 125;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MACHINE COMMAND [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	options.argv = (const char *const *)argv + 2;
	if (annex_context_new(&context, NULL, &err) == 0 && annex_machine_open(&machine, context, argv[1], &err) == 0 &&
	    annex_machine_start(machine, &err) == 0 && annex_session_open(&session, machine, &options, &err) == 0 &&
	    annex_session_wait(session, &err) == 0)
		status = annex_session_status(session);
	else
		fprintf(stderr, "%s\n", annex_error_message(err));
	annex_error_free(err);
	annex_session_unref(session);
	annex_machine_unref(machine);
	annex_context_unref(context);
	return status;
}
