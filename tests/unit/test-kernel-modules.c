#include "test.h"

#include "base/file.h"
#include "kernel-samples.h"
#include "kernel/depmod.h"
#include "kernel/filetree.h"
#include "kernel/kmod.h"
#include "kernel/modules.h"

#include <fcntl.h>
#include <stdio.h>

static struct modules *parse(const struct modules_texts *texts)
{
	struct modules *modules = NULL;

	assert_int_equal(modules_parse(&modules, texts, NULL), 0);
	return modules;
}

/* The names of the files in the order of insertion, with a space behind each. */
static void assert_order(struct modules *modules, const char *name, const char *expected)
{
	auto_text_list struct text_list order = {0};
	auto_text struct text joined = {0};
	bool found = false;

	assert_int_equal(modules_add(modules, name, &order, &found, NULL), 0);
	assert_true(found);
	for (size_t i = 0; i < order.count; i++)
		text_printf(&joined, "%s ", path_name(order.items[i]));
	assert_string_equal(joined.data ? joined.data : "", expected);
}

static void assert_corrupt(const char *dep, const char *part)
{
	auto_error struct annex_error *err = NULL;
	struct modules *modules = NULL;

	assert_int_equal(modules_parse(&modules, &(struct modules_texts){.dep = dep}, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_message(err), part));
}

static const char virtio[] = "kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
			     "kernel/drivers/virtio/virtio_ring.ko:\n"
			     "kernel/drivers/char/virtio-rng.ko: kernel/drivers/virtio/virtio.ko "
			     "kernel/drivers/virtio/virtio_ring.ko\n"
			     "kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko "
			     "kernel/drivers/virtio/virtio.ko\n";

static void what_a_module_needs_comes_before_it_and_once(void **state)
{
	auto_modules struct modules *modules = parse(&(struct modules_texts){.dep = virtio});

	(void)state;
	assert_order(modules, "virtio_blk", "virtio_ring.ko virtio.ko virtio_blk.ko.xz ");
	assert_order(modules, "virtio_rng", "virtio-rng.ko ");
	assert_order(modules, "virtio-rng", "");
	modules_rewind(modules);
	assert_order(modules, "virtio-rng", "virtio_ring.ko virtio.ko virtio-rng.ko ");
}

static void what_is_built_in_is_left_out(void **state)
{
	auto_modules struct modules *modules =
		parse(&(struct modules_texts){.dep = "kernel/a.ko: kernel/b-c.ko kernel/d.ko\nkernel/d.ko:\n",
					      .builtin = "kernel/b_c.ko\nkernel/ext4.ko\n"});
	auto_text_list struct text_list order = {0};
	bool found = true;

	(void)state;
	assert_order(modules, "ext4", "");
	assert_order(modules, "a", "d.ko a.ko ");
	assert_true(modules_is_builtin(modules, "b-c"));
	assert_int_equal(modules_add(modules, "btrfs", &order, &found, NULL), 0);
	assert_false(found);
}

static void soft_dependencies_come_first_under_any_of_their_names(void **state)
{
	auto_modules struct modules *modules = parse(&(struct modules_texts){
		.dep = "k/ext4.ko: k/jbd2.ko\nk/jbd2.ko:\nk/crc32c-generic.ko:\nk/crc32c-intel.ko:\nk/late.ko:\n",
		.softdep = "# comment\nsoftdep ext4 pre: crc32c gone post: late\nsoftdep jbd2 pre: crc32c_generic\n",
		.alias = "alias crc32c crc32c_intel\nalias crc32c-x late\nalias crc32c crc32c_generic\n"});

	(void)state;
	assert_order(modules, "ext4", "crc32c-intel.ko crc32c-generic.ko jbd2.ko ext4.ko ");
}

static void a_circle_of_soft_dependencies_ends(void **state)
{
	auto_modules struct modules *modules = parse(&(struct modules_texts){
		.dep = "k/a.ko:\nk/b.ko:\n", .softdep = "softdep a pre: b\nsoftdep b pre: a\n"});

	(void)state;
	assert_order(modules, "a", "b.ko a.ko ");
}

static void a_need_that_is_nowhere_is_corrupt(void **state)
{
	auto_modules struct modules *modules = parse(&(struct modules_texts){.dep = "k/a.ko: k/gone.ko\n"});
	auto_error struct annex_error *err = NULL;
	auto_text_list struct text_list order = {0};
	bool found;

	(void)state;
	assert_int_equal(modules_add(modules, "a", &order, &found, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	assert_string_equal(annex_error_message(err), "modules.dep: k/a.ko needs k/gone.ko, which is not there");
}

static void dependencies_nested_without_end_are_refused(void **state)
{
	auto_text struct text dep = {0};
	auto_modules struct modules *modules = NULL;
	auto_error struct annex_error *err = NULL;
	auto_text_list struct text_list order = {0};
	bool found;

	(void)state;
	for (int i = 0; i < 2000; i++)
		text_printf(&dep, "k/m%d.ko: k/m%d.ko\n", i, i + 1);
	text_add(&dep, "k/m2000.ko:\n");
	modules = parse(&(struct modules_texts){.dep = dep.data});
	assert_int_equal(modules_add(modules, "m0", &order, &found, &err), -1);
	assert_non_null(strstr(annex_error_message(err), "too deep"));
}

static void lines_that_lead_out_of_the_folder_are_refused(void **state)
{
	(void)state;
	assert_corrupt("../../etc/x.ko:\n", "is not a module");
	assert_corrupt("k/../../x.ko:\n", "is not a module");
	assert_corrupt("/etc/x.ko:\n", "is not a module");
	assert_corrupt("/etc/passwd:\n", "is not a module");
	assert_corrupt("k/x.ko\n", "without a colon");
}

static char *make_folder(void)
{
	char *folder = strdup("/tmp/annex-test-XXXXXX");

	assert_non_null(folder);
	assert_non_null(mkdtemp(folder));
	return folder;
}

static void remove_folder(char *folder)
{
	assert_int_equal(file_remove_tree(AT_FDCWD, folder), 0);
	free(folder);
}

static void put(const char *folder, const char *path, const void *bytes, size_t size)
{
	auto_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = filetree_create(dir, path);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, bytes, size), 0);
}

static void put_module(const char *folder, const char *path, const char *info, size_t size)
{
	auto_sample struct sample module = sample_module(info, size);

	if (text_ends(path, ".xz")) {
		auto_sample struct sample packed = sample_pack(&module, SAMPLE_XZ);

		put(folder, path, packed.data, packed.size);
		return;
	}
	put(folder, path, module.data, module.size);
}
#define PUT_MODULE(folder, path, info) put_module((folder), (path), (info), sizeof(info))

static void modules_dep_is_worked_out_from_the_modules(void **state)
{
	char *folder = make_folder();
	auto_modules struct modules *modules = NULL;
	auto_free char *dep = NULL, *path = path_join(folder, "modules.dep");

	(void)state;
	PUT_MODULE(folder, "kernel/top.ko", "vermagic=6.9 SMP\0depends=mid-dle,builtin\0softdep=pre: wish\0name=top");
	PUT_MODULE(folder, "kernel/sub/mid-dle.ko.xz", "depends=low\0alias=pci:v1*");
	PUT_MODULE(folder, "kernel/sub/low.ko", "depends=\0");
	PUT_MODULE(folder, "kernel/crypto/granted.ko", "alias=wish\0depends=");
	assert_int_equal(depmod_write(folder, NULL), 0);
	assert_int_equal(file_read(&dep, NULL, AT_FDCWD, path, 4096), 0);
	assert_string_equal(dep, "kernel/crypto/granted.ko:\n"
				 "kernel/sub/low.ko:\n"
				 "kernel/sub/mid-dle.ko.xz: kernel/sub/low.ko\n"
				 "kernel/top.ko: kernel/sub/mid-dle.ko.xz kernel/sub/low.ko\n");
	assert_int_equal(modules_open(&modules, folder, NULL), 0);
	assert_order(modules, "top", "granted.ko low.ko mid-dle.ko.xz top.ko ");
	remove_folder(folder);
}

/* With a depmod of the test's, which says what it was asked, and writes or fails. */
static void set_depmod(const char *folder, const char *script)
{
	auto_free char *path = path_join(folder, "depmod"), *list = NULL;

	put(folder, "depmod", script, strlen(script));
	assert_int_equal(chmod(path, 0755), 0);
	assert_true(asprintf(&list, "%s:/usr/bin:/bin", folder) > 0);
	assert_int_equal(setenv("PATH", list, 1), 0);
}

static void indexes_are_depmod_s_and_texts_stay(void **state)
{
	auto_free char *path = strdup(getenv("PATH")), *dep = NULL, *index = NULL, *said = NULL;
	char *folder = make_folder(), *programs = make_folder();
	auto_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	PUT_MODULE(folder, "kernel/a.ko", "depends=");
	put(folder, "modules.dep", "kernel/a.ko:\n", 13);
	put(folder, "modules.order", "kernel/a.ko\n", 12);
	set_depmod(programs, "#!/bin/sh\ncd \"$2/usr/lib/modules/$3\" || exit 1\n"
			     "ls >modules.devname; test -f kernel/a.ko || exit 1\n"
			     "echo other >modules.dep; echo binary >modules.dep.bin\n");
	assert_false(kmod_is_indexed(folder));
	assert_int_equal(kmod_index(folder, "6.9", NULL), 0);
	assert_true(kmod_is_indexed(folder));
	assert_int_equal(file_read(&dep, NULL, dir, "modules.dep", 4096), 0);
	assert_string_equal(dep, "kernel/a.ko:\n");
	assert_int_equal(file_read(&index, NULL, dir, "modules.dep.bin", 4096), 0);
	assert_string_equal(index, "binary\n");
	assert_int_equal(file_read(&said, NULL, dir, "modules.devname", 4096), 0);
	assert_string_equal(said, "kernel\nmodules.devname\nmodules.order\n");
	assert_int_equal(setenv("PATH", path, 1), 0);
	remove_folder(folder);
	remove_folder(programs);
}

static void a_depmod_that_fails_leaves_no_indexes(void **state)
{
	auto_free char *path = strdup(getenv("PATH"));
	auto_error struct annex_error *err = NULL;
	char *folder = make_folder(), *programs = make_folder();

	(void)state;
	set_depmod(programs,
		   "#!/bin/sh\necho binary >\"$2/lib/modules/$3/modules.alias.bin\"; echo no room >&2; exit 1\n");
	assert_int_equal(kmod_index(folder, "6.9", &err), -1);
	assert_true(text_ends(annex_error_message(err), "/depmod failed: no room"));
	assert_int_equal(rmdir(folder), 0); /* it is empty */
	free(folder);
	assert_int_equal(setenv("PATH", path, 1), 0);
	remove_folder(programs);
}

static void modules_of_another_kernel_are_told(void **state)
{
	auto_error struct annex_error *err = NULL;
	char *folder = make_folder();

	(void)state;
	assert_int_equal(depmod_check_release(folder, "6.9", NULL), 0);
	PUT_MODULE(folder, "a.ko", "license=GPL\0vermagic=6.9 SMP");
	assert_int_equal(depmod_check_release(folder, "6.9", NULL), 0);
	assert_int_equal(depmod_check_release(folder, "6.9.1", &err), -1);
	assert_string_equal(annex_error_message(err), "the modules are for kernel 6.9, not for 6.9.1");
	remove_folder(folder);
}

static void a_module_that_is_none_is_named(void **state)
{
	auto_error struct annex_error *err = NULL;
	char *folder = make_folder();

	(void)state;
	put(folder, "kernel/a.ko", "nothing", 7);
	assert_int_equal(depmod_write(folder, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	assert_string_equal(annex_error_message(err), "kernel/a.ko is not a module");
	remove_folder(folder);
}

static void a_folder_without_any_text_holds_no_modules(void **state)
{
	auto_error struct annex_error *err = NULL;
	char *folder = make_folder();
	struct modules *modules = NULL;

	(void)state;
	assert_int_equal(modules_open(&modules, folder, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_module_needs_comes_before_it_and_once),
		cmocka_unit_test(what_is_built_in_is_left_out),
		cmocka_unit_test(soft_dependencies_come_first_under_any_of_their_names),
		cmocka_unit_test(a_circle_of_soft_dependencies_ends),
		cmocka_unit_test(a_need_that_is_nowhere_is_corrupt),
		cmocka_unit_test(dependencies_nested_without_end_are_refused),
		cmocka_unit_test(lines_that_lead_out_of_the_folder_are_refused),
		cmocka_unit_test(modules_dep_is_worked_out_from_the_modules),
		cmocka_unit_test(indexes_are_depmod_s_and_texts_stay),
		cmocka_unit_test(a_depmod_that_fails_leaves_no_indexes),
		cmocka_unit_test(modules_of_another_kernel_are_told),
		cmocka_unit_test(a_module_that_is_none_is_named),
		cmocka_unit_test(a_folder_without_any_text_holds_no_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
