#include "annex/kernel.h"

#include "kernel/kernel.h"
#include "kernel/kmod.h"
#include "lib/context.h"
#include "lib/machine.h"

#include <string.h>

struct annex_kernel {
	struct kernel *kernel;
};

static int wrap(struct annex_kernel **ret, struct kernel *kernel, struct annex_error **err)
{
	struct annex_kernel *made = calloc(1, sizeof(*made));

	if (!made) {
		kernel_free(kernel);
		return fail_memory(err);
	}
	made->kernel = kernel;
	*ret = made;
	return 0;
}

static int on_progress(const char *what, void *data)
{
	struct annex_context *context = data;

	context_report(context, "kernel", what, 0, 0, false);
	return context_is_cancelled(context);
}

API int annex_kernel_install(struct annex_kernel **ret, struct annex_context *context,
			     const struct annex_kernel_install_options *options, struct annex_error **err)
{
	struct annex_kernel_install_options chosen = ANNEX_KERNEL_INSTALL_OPTIONS_INIT;
	struct kernel *kernel = NULL;
	auto_free char *folder = NULL;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (context_folder(&folder, context, "kernels", err) < 0 ||
	    kernel_install(&kernel, folder,
			   &(struct kernel_install_options){.deb = chosen.deb,
							    .file = chosen.file,
							    .modules = chosen.modules,
							    .make_default = chosen.make_default},
			   on_progress, context, err) < 0)
		return -1;
	context_report(context, "kernel", kernel->name, 0, 0, true);
	return wrap(ret, kernel, err);
}

API int annex_kernel_list(struct annex_kernel ***ret, size_t *ret_count, struct annex_context *context,
			  struct annex_error **err)
{
	struct kernel **kernels = NULL;
	struct annex_kernel **list;
	auto_free char *folder = NULL;
	size_t count = 0, made = 0;
	int result = 0;

	if (context_folder(&folder, context, "kernels", err) < 0 || kernel_list(&kernels, &count, folder, err) < 0)
		return -1;
	list = calloc(count + 1, sizeof(struct annex_kernel *));
	for (; list && result == 0 && made < count; made += result == 0)
		result = wrap(&list[made], TAKE(kernels[made]), err);
	kernel_list_free(kernels, count);
	if (!list)
		return fail_memory(err);
	if (result < 0) {
		annex_kernel_list_free(list, made);
		return -1;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

API void annex_kernel_list_free(struct annex_kernel **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		annex_kernel_unref(list[i]);
	free(list);
}

API int annex_kernel_set_default(struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_free char *folder = NULL;

	return context_folder(&folder, context, "kernels", err) < 0 ? -1 : kernel_set_default(folder, name, err);
}

API int annex_kernel_delete(struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	auto_free char *folder = NULL;

	if (context_folder(&folder, context, "kernels", err) < 0 || machine_names(&names, context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		auto_machine struct annex_machine *machine = NULL;

		if (machine_open_named(&machine, context, names.items[i], NULL) < 0 ||
		    strcmp(machine->record.settings.kernel, name) != 0)
			continue;
		fail(err, ANNEX_ERROR_BUSY, "kernel %s is that of machine '%s'", name, names.items[i]);
		return fail_hint(err, "annex set -n %s kernel=default", names.items[i]);
	}
	return kernel_delete(folder, name, err);
}

API void annex_kernel_unref(struct annex_kernel *kernel)
{
	if (!kernel)
		return;
	kernel_free(kernel->kernel);
	free(kernel);
}

API const char *annex_kernel_name(const struct annex_kernel *kernel)
{
	return kernel->kernel->name;
}

API const char *annex_kernel_source(const struct annex_kernel *kernel)
{
	return kernel->kernel->source;
}

API int64_t annex_kernel_installed(const struct annex_kernel *kernel)
{
	return kernel->kernel->installed;
}

API uint64_t annex_kernel_size(const struct annex_kernel *kernel)
{
	return kernel->kernel->size;
}

API int annex_kernel_is_default(const struct annex_kernel *kernel)
{
	return kernel->kernel->is_default;
}

API int annex_kernel_is_indexed(const struct annex_kernel *kernel)
{
	return !kernel->kernel->modules || kmod_is_indexed(kernel->kernel->modules);
}
