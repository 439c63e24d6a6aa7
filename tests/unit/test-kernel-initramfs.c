#include "test.h"

#include "base/file.h"
#include "kernel-samples.h"
#include "kernel/apt.h"
#include "kernel/cpio.h"
#include "kernel/filetree.h"
#include "kernel/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* "MODE PATH SIZE" of each entry, read by libarchive. */
static void assert_lists(const void *bytes, size_t size, const char *expected)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	auto_text struct text list = {0};

	archive_read_support_format_cpio(archive);
	assert_int_equal(archive_read_open_memory(archive, bytes, size), ARCHIVE_OK);
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK)
		text_printf(&list, "%06o %s %d\n", archive_entry_mode(entry), archive_entry_pathname(entry),
			    (int)archive_entry_size(entry));
	archive_read_free(archive);
	assert_string_equal(list.data, expected);
}

static void an_archive_reads_back_with_modes_devices_and_contents(void **state)
{
	auto_cpio struct cpio cpio = {0};
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	char content[8] = {0};

	(void)state;
	cpio_folder(&cpio, "dev", 0755);
	cpio_device(&cpio, "dev/console", S_IFCHR | 0600, 5, 1);
	cpio_file(&cpio, "init", 0755, "hello", 5);
	assert_int_equal(cpio_finish(&cpio, NULL), 0);
	assert_int_equal(cpio.bytes.size % 4, 0);
	assert_lists(cpio.bytes.data, cpio.bytes.size, "040755 dev 0\n020600 dev/console 0\n100755 init 5\n");
	archive_read_support_format_cpio(archive);
	assert_int_equal(archive_read_open_memory(archive, cpio.bytes.data, cpio.bytes.size), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
	assert_int_equal(archive_entry_rdevmajor(entry), 5);
	assert_int_equal(archive_entry_rdevminor(entry), 1);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
	assert_int_equal(archive_read_data(archive, content, sizeof(content)), 5);
	assert_string_equal(content, "hello");
	archive_read_free(archive);
}

static char *make_modules(bool with_disk)
{
	char *folder = strdup("/tmp/annex-test-XXXXXX");
	auto_close int dir = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	auto_sample struct sample module = sample_module("", 1), packed = sample_pack(&module, SAMPLE_ZSTD);
	auto_close int blk = filetree_create(dir, "k/virtio_blk.ko.zst"),
		       ring = filetree_create(dir, "k/virtio_ring.ko");
	const char *dep = with_disk ? "k/virtio_blk.ko.zst: k/virtio_ring.ko\nk/virtio_ring.ko:\n" : "";

	assert_int_equal(file_write_all(blk, packed.data, packed.size), 0);
	assert_int_equal(file_write_all(ring, module.data, module.size), 0);
	assert_int_equal(file_write_atomic(dir, "modules.dep", dep, strlen(dep), 0644), 0);
	dep = "k/virtio_console.ko\nk/ext4.ko\n";
	assert_int_equal(file_write_atomic(dir, "modules.builtin", dep, strlen(dep), 0644), 0);
	return folder;
}

static void an_initramfs_holds_the_agent_and_plain_modules_in_order(void **state)
{
	auto_free char *bytes = NULL, *folder = make_modules(true);
	size_t size = 0;

	(void)state;
	assert_int_equal(initramfs_make(&bytes, &size, "agent", 5, folder, NULL), 0);
	assert_lists(bytes, size,
		     "040755 dev 0\n040755 proc 0\n040755 sys 0\n040700 root 0\n040755 run 0\n040755 modules 0\n"
		     "020600 dev/console 0\n100755 init 5\n100644 modules/001-virtio_ring.ko 513\n"
		     "100644 modules/002-virtio_blk.ko 513\n100644 modules/order 37\n");
	assert_non_null(memmem(bytes, size, "001-virtio_ring.ko\n002-virtio_blk.ko\n", 38));
	assert_int_equal(file_remove_tree(AT_FDCWD, folder), 0);
}

static void a_kernel_without_modules_gets_an_empty_order(void **state)
{
	auto_free char *bytes = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(initramfs_make(&bytes, &size, "agent", 5, NULL, NULL), 0);
	assert_lists(bytes, size,
		     "040755 dev 0\n040755 proc 0\n040755 sys 0\n040700 root 0\n040755 run 0\n040755 modules 0\n"
		     "020600 dev/console 0\n100755 init 5\n100644 modules/order 0\n");
}

static void a_kernel_that_lacks_what_a_machine_needs_is_refused(void **state)
{
	auto_free char *bytes = NULL, *folder = make_modules(false);
	auto_error struct annex_error *err = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(initramfs_make(&bytes, &size, "agent", 5, folder, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_message(err), "the kernel has no virtio_blk, which the disk needs"));
	assert_int_equal(file_remove_tree(AT_FDCWD, folder), 0);
}

static void the_kernel_that_a_metapackage_stands_for_is_found(void **state)
{
	auto_free char *debian = apt_depends(
		"Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n",
		"linux-image-");
	auto_free char *modules =
		apt_depends("Package: x\nPre-Depends: linux-modules-1\nDepends: kmod, linux-base (>= 4.5), "
			    "linux-modules-6.8.0-31-generic\nRecommends: linux-modules-9\n",
			    "linux-modules-");

	(void)state;
	assert_string_equal(debian, "linux-image-6.1.0-56-cloud-amd64");
	assert_string_equal(modules, "linux-modules-6.8.0-31-generic");
	assert_null(apt_depends("Depends: linux-image-virtual, kmod\n", "linux-image-"));
	assert_null(apt_depends("Package: x\n", "linux-image-"));
	assert_null(apt_depends("Depends: ", "linux-image-"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_archive_reads_back_with_modes_devices_and_contents),
		cmocka_unit_test(an_initramfs_holds_the_agent_and_plain_modules_in_order),
		cmocka_unit_test(a_kernel_without_modules_gets_an_empty_order),
		cmocka_unit_test(a_kernel_that_lacks_what_a_machine_needs_is_refused),
		cmocka_unit_test(the_kernel_that_a_metapackage_stands_for_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
