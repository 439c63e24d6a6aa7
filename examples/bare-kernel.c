/* Boots a kernel with an initrd and shows its console: bare-kernel KERNEL INITRD [COMMAND-LINE] */
#include <annex/annex.h>
#include <stdio.h>
#include <unistd.h>

static int boot(struct annex_vm *vm, struct annex_error **err)
{
	enum annex_vm_event event = ANNEX_VM_STARTED;

	if (annex_vm_start(vm, err) < 0)
		return -1;
	while (event != ANNEX_VM_ENDED) {
		if (annex_vm_wait(vm, &event, -1, err) < 0)
			return -1;
		fprintf(stderr, "bare-kernel: %s\n", annex_vm_event_name(event));
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct annex_vm_options options = ANNEX_VM_OPTIONS_INIT;
	struct annex_context *context = NULL;
	struct annex_vm *vm = NULL;
	struct annex_error *err = NULL;
	int result;

	options.kernel = argc > 1 ? argv[1] : "vmlinux";
	options.initrd = argc > 2 ? argv[2] : NULL;
	options.command_line = argc > 3 ? argv[3] : "console=ttyS0 panic=-1";
	options.console_fd = STDOUT_FILENO;
	result = annex_context_new(&context, NULL, &err);
	if (result == 0)
		result = annex_vm_new(&vm, context, &options, &err);
	if (result == 0)
		result = boot(vm, &err);
	if (result < 0)
		fprintf(stderr, "bare-kernel: %s\n", annex_error_message(err));
	annex_vm_free(vm);
	annex_context_unref(context);
	annex_error_free(err);
	return result < 0;
}
