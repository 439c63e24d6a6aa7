/* Drives src/kernel without the command line: kernel-tool FOLDER install [--deb F | --file F [--modules D]] [--default]
 * | list | open [NAME] | check NAME | set NAME | delete NAME | initramfs [NAME] AGENT. Errors: "KIND: message" and
 * "hint: …". */
#include "base/text.h"
#include "kernel/kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int report(const char *what, void *data)
{
	(void)data;
	fprintf(stderr, "%s\n", what);
	return 0;
}

static void show(const struct kernel *kernel)
{
	printf("%s %s%s\nimage %s\nvmlinux %s\nmodules %s\nsource %s\nsize %" PRIu64 "\n", kernel->name,
	       kernel->release, kernel->is_default ? " default" : "", kernel->image, kernel->vmlinux,
	       kernel->modules ? kernel->modules : "-", kernel->source, kernel->size);
}

static int install(const char *folder, char **argv, struct annex_error **err)
{
	struct kernel_install_options options = {0};
	auto_kernel struct kernel *kernel = NULL;

	for (; *argv; argv++) {
		if (text_equal(*argv, "--default"))
			options.make_default = true;
		else if (text_equal(*argv, "--deb"))
			options.deb = *++argv;
		else if (text_equal(*argv, "--file"))
			options.file = *++argv;
		else if (text_equal(*argv, "--modules"))
			options.modules = *++argv;
		if (!*argv)
			break;
	}
	if (kernel_install(&kernel, folder, &options, report, NULL, err) < 0)
		return -1;
	show(kernel);
	return 0;
}

static int list(const char *folder, struct annex_error **err)
{
	struct kernel **kernels = NULL;
	size_t count = 0;

	if (kernel_list(&kernels, &count, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		printf("%s%s\n", kernels[i]->name, kernels[i]->is_default ? " default" : "");
	kernel_list_free(kernels, count);
	return 0;
}

static int initramfs(const char *folder, const char *name, const char *agent, struct annex_error **err)
{
	auto_kernel struct kernel *kernel = NULL;
	auto_free char *path = NULL;

	if (kernel_open(&kernel, folder, name, err) < 0 || kernel_initramfs(&path, kernel, agent, err) < 0)
		return -1;
	printf("%s\n", path);
	return 0;
}

static int run(const char *folder, const char *verb, char **argv, struct annex_error **err)
{
	auto_kernel struct kernel *kernel = NULL;

	if (text_equal(verb, "install"))
		return install(folder, argv, err);
	if (text_equal(verb, "list"))
		return list(folder, err);
	if (text_equal(verb, "check"))
		return kernel_check(folder, argv[0], err);
	if (text_equal(verb, "set"))
		return kernel_set_default(folder, argv[0], err);
	if (text_equal(verb, "delete"))
		return kernel_delete(folder, argv[0], err);
	if (text_equal(verb, "initramfs"))
		return initramfs(folder, argv[1] ? argv[0] : NULL, argv[1] ? argv[1] : argv[0], err);
	if (kernel_open(&kernel, folder, argv[0], err) < 0)
		return -1;
	show(kernel);
	return 0;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *err = NULL;

	if (argc < 3)
		return 2;
	if (run(argv[1], argv[2], argv + 3, &err) == 0)
		return 0;
	fprintf(stderr, "%d: %s\n", (int)annex_error_kind(err), annex_error_message(err));
	if (annex_error_hint(err))
		fprintf(stderr, "hint: %s\n", annex_error_hint(err));
	return 1;
}
