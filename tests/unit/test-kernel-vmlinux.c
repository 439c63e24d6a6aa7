#include "test.h"

#include "kernel-samples.h"

#include "kernel/decompress.h"
#include "kernel/vmlinux.h"

static void assert_fails(const struct sample *file, uint16_t machine, enum annex_error_kind kind, const char *part)
{
	auto_vmlinux struct vmlinux found = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(vmlinux_parse(&found, file->data, file->size, machine, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	assert_non_null(strstr(annex_error_message(err), part));
	assert_null(found.plain);
}

static void assert_finds(const struct sample *file, const struct sample *plain, bool pvh, bool boxed)
{
	auto_vmlinux struct vmlinux found = {0};
	auto_error struct annex_error *err = NULL;
	int result = vmlinux_parse(&found, file->data, file->size, EM_X86_64, &err);

	if (err)
		print_message("%s\n", annex_error_message(err));
	assert_int_equal(result, 0);
	assert_string_equal(found.release, SAMPLE_RELEASE);
	assert_int_equal(found.pvh, pvh);
	assert_int_equal(found.boxed, boxed);
	assert_true(found.virtio);
	assert_int_equal(found.plain_size, plain->size);
	assert_memory_equal(found.plain, plain->data, plain->size);
}

static void a_bzimage_gives_its_kernel_in_every_compression(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true);

	(void)state;
	for (int i = 0; i < SAMPLE_PACKINGS; i++) {
		auto_sample struct sample file = sample_bzimage(&plain, (enum sample_packing)i);

		assert_finds(&file, &plain, true, true);
	}
}

static void a_wrong_payload_offset_is_made_up_for_by_scanning(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true);

	(void)state;
	for (int i = 0; i < SAMPLE_PACKINGS; i++) {
		auto_sample struct sample file = sample_bzimage(&plain, (enum sample_packing)i);

		if (i == SAMPLE_LZMA)
			continue; /* has no magic to scan for */
		sample_put32(&file, 0x248, 8);
		sample_put(&file, 1100, "\x1f\x8b\x08", 3); /* looks like gzip and isn't */
		assert_finds(&file, &plain, true, true);
	}
}

static void a_bzimage_without_payload_fields_is_scanned(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true), file = sample_bzimage(&plain, SAMPLE_ZSTD);

	(void)state;
	file.data[0x206] = 7; /* protocol 2.07 */
	sample_put32(&file, 0x24c, UINT32_MAX);
	assert_finds(&file, &plain, true, true);
}

static void a_version_is_found_in_the_kernel_when_the_header_has_none(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true), file = sample_bzimage(&plain, SAMPLE_GZIP);

	(void)state;
	file.data[0x20e] = file.data[0x20f] = 0;
	assert_finds(&file, &plain, true, true);
}

static void a_kernel_without_pvh_is_booted_by_its_bzimage(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, false), file = sample_bzimage(&plain, SAMPLE_GZIP);

	(void)state;
	assert_finds(&file, &plain, false, true);
	assert_fails(&plain, EM_X86_64, ANNEX_ERROR_UNSUPPORTED, "no PVH entry");
}

static void a_vmlinux_is_taken_as_it_is_and_unpacked_when_packed(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true), packed = sample_pack(&plain, SAMPLE_XZ);
	auto_vmlinux struct vmlinux found = {0};

	(void)state;
	assert_int_equal(vmlinux_parse(&found, plain.data, plain.size, EM_X86_64, NULL), 0);
	assert_null(found.plain);
	assert_string_equal(found.release, SAMPLE_RELEASE);
	assert_finds(&packed, &plain, true, false);
}

static void a_kernel_for_another_machine_is_refused(void **state)
{
	auto_sample struct sample arm = sample_vmlinux(EM_AARCH64, false), x86 = sample_vmlinux(EM_X86_64, true);
	auto_sample struct sample box = sample_bzimage(&x86, SAMPLE_GZIP);

	(void)state;
	assert_fails(&arm, EM_X86_64, ANNEX_ERROR_UNSUPPORTED, "a kernel for arm64, not for x86-64");
	assert_fails(&box, EM_AARCH64, ANNEX_ERROR_UNSUPPORTED, "a kernel for x86-64, not for arm64");
}

static void an_arm64_image_is_a_kernel_on_arm64(void **state)
{
	auto_sample struct sample file = sample_vmlinux(EM_AARCH64, false);
	auto_vmlinux struct vmlinux found = {0};

	(void)state;
	sample_put(&file, 0, "MZ\0\0", 4);
	sample_put(&file, 0x38, "ARM\x64", 4);
	assert_int_equal(vmlinux_parse(&found, file.data, file.size, EM_AARCH64, NULL), 0);
	assert_string_equal(found.release, SAMPLE_RELEASE);
	assert_fails(&file, EM_X86_64, ANNEX_ERROR_UNSUPPORTED, "a kernel for arm64");
}

static void what_is_no_kernel_is_told_apart(void **state)
{
	auto_sample struct sample program = sample_vmlinux(EM_X86_64, true);
	struct sample empty = {(uint8_t *)"", 0}, text = {(uint8_t *)"#!/bin/sh\n", 10};
	struct sample lzo = {(uint8_t *)"\x89LZO\0\r\n\x1a\n...", 12};

	(void)state;
	sample_put(&program, 8192, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
	assert_fails(&empty, EM_X86_64, ANNEX_ERROR_USAGE, "it is empty");
	assert_fails(&text, EM_X86_64, ANNEX_ERROR_USAGE, "not a Linux kernel");
	assert_fails(&program, EM_X86_64, ANNEX_ERROR_USAGE, "a program, not a Linux kernel");
	assert_fails(&lzo, EM_X86_64, ANNEX_ERROR_UNSUPPORTED, "LZO compression is not supported");
}

static void a_kernel_that_is_cut_off_is_corrupt_wherever_it_is_cut(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true),
				  file = sample_bzimage(&plain, SAMPLE_LZ4_LEGACY);

	(void)state;
	for (size_t size = 1500; size < file.size - SAMPLE_CODE; size += 4999) {
		struct sample cut = {file.data, size};

		assert_fails(&cut, EM_X86_64, ANNEX_ERROR_CORRUPT, "cut off");
	}
	plain.size -= 1;
	assert_fails(&plain, EM_X86_64, ANNEX_ERROR_CORRUPT, "cut off");
}

/* The other formats have no checksum, or not as kernels use them. */
static void damaged_payloads_are_corrupt(void **state)
{
	auto_sample struct sample plain = sample_vmlinux(EM_X86_64, true);

	(void)state;
	for (int i = SAMPLE_GZIP; i <= SAMPLE_XZ; i++) {
		auto_sample struct sample file = sample_bzimage(&plain, (enum sample_packing)i);

		memset(file.data + 1024 + SAMPLE_PAYLOAD + 100, 0xff, 2000);
		assert_fails(&file, EM_X86_64, ANNEX_ERROR_CORRUPT, "");
	}
}

static void an_output_past_the_limit_is_refused(void **state)
{
	struct sample zeroes = {calloc(1, 4 << 20), 4 << 20};

	(void)state;
	for (int i = 0; i < SAMPLE_PACKINGS; i++) {
		auto_sample struct sample packed = sample_pack(&zeroes, (enum sample_packing)i);
		auto_error struct annex_error *err = NULL;
		auto_free char *bytes = NULL;
		size_t size = 0;

		assert_int_equal(decompress_bytes(&bytes, &size, packed.data, packed.size, zeroes.size - 1, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		assert_int_equal(decompress_bytes(&bytes, &size, packed.data, packed.size, zeroes.size, NULL), 0);
		assert_int_equal(size, zeroes.size);
	}
	free(zeroes.data);
}

static void a_release_is_a_safe_name_of_a_folder(void **state)
{
	(void)state;
	assert_true(vmlinux_release_is_valid("6.12.117+deb12-amd64"));
	assert_true(vmlinux_release_is_valid("6.1.0-56-cloud-amd64"));
	assert_false(vmlinux_release_is_valid(""));
	assert_false(vmlinux_release_is_valid(".."));
	assert_false(vmlinux_release_is_valid(".files"));
	assert_false(vmlinux_release_is_valid("6/1"));
	assert_false(vmlinux_release_is_valid("6 1"));
	assert_false(vmlinux_release_is_valid("6666666666666666666666666666666666666666666666666666666666666666.6"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bzimage_gives_its_kernel_in_every_compression),
		cmocka_unit_test(a_wrong_payload_offset_is_made_up_for_by_scanning),
		cmocka_unit_test(a_bzimage_without_payload_fields_is_scanned),
		cmocka_unit_test(a_version_is_found_in_the_kernel_when_the_header_has_none),
		cmocka_unit_test(a_kernel_without_pvh_is_booted_by_its_bzimage),
		cmocka_unit_test(a_vmlinux_is_taken_as_it_is_and_unpacked_when_packed),
		cmocka_unit_test(a_kernel_for_another_machine_is_refused),
		cmocka_unit_test(an_arm64_image_is_a_kernel_on_arm64),
		cmocka_unit_test(what_is_no_kernel_is_told_apart),
		cmocka_unit_test(a_kernel_that_is_cut_off_is_corrupt_wherever_it_is_cut),
		cmocka_unit_test(damaged_payloads_are_corrupt),
		cmocka_unit_test(an_output_past_the_limit_is_refused),
		cmocka_unit_test(a_release_is_a_safe_name_of_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
