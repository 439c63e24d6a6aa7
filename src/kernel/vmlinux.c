/*
 * Kernel files.
 *
 * A bzImage is a real-mode setup part, whose header ("HdrS", Documentation/arch/x86/boot.rst) says where behind it the
 * compressed ELF kernel lies. Headers before protocol 2.08 don't say, and some repackaged kernels lie; so when the
 * named place holds nothing that is a kernel, the file is scanned for compressed data and each candidate tried. The
 * release comes from the setup header's version string, and for an ELF from its banner, "Linux version RELEASE (".
 *
 * QEMU's -kernel starts a 64-bit ELF on x86 only by its PVH entry. Without one the bzImage itself is booted.
 */
#include "kernel/vmlinux.h"

#include "base/text.h"
#include "kernel/elf.h"
#include "kernel/decompress.h"

#include <elf.h>
#include <string.h>
#include <sys/utsname.h>

enum {
	SETUP_SECTORS = 0x1f1,
	SETUP_MAGIC = 0x202,
	SETUP_PROTOCOL = 0x206,
	SETUP_VERSION = 0x20e, /* of the version string, less 0x200 */
	SETUP_PAYLOAD = 0x248,
	SETUP_PAYLOAD_SIZE = 0x24c,
	SETUP_SIZE = 0x250,
	SECTOR = 512,
	PROTOCOL_WITH_PAYLOAD = 0x208,
	ARM64_MAGIC = 0x38,
};

struct bytes {
	const uint8_t *data;
	size_t size;
};

void vmlinux_clear(struct vmlinux *image)
{
	free(image->plain);
	*image = (struct vmlinux){0};
}

uint16_t vmlinux_host_machine(void)
{
	struct utsname host;

	if (uname(&host) < 0)
		return EM_NONE;
	if (text_equal(host.machine, "x86_64"))
		return EM_X86_64;
	return text_equal(host.machine, "aarch64") ? EM_AARCH64 : EM_NONE;
}

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86-64";
	case EM_386:
		return "32-bit x86";
	case EM_AARCH64:
		return "arm64";
	case EM_ARM:
		return "32-bit arm";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "POWER";
	case EM_S390:
		return "s390";
	default:
		return "another architecture";
	}
}

static uint32_t little(const uint8_t *bytes, size_t size)
{
	uint32_t value = 0;

	for (size_t i = size; i > 0; i--)
		value = value << 8 | bytes[i - 1];
	return value;
}

bool vmlinux_release_is_valid(const char *release)
{
	size_t length = strlen(release);

	if (length > VMLINUX_RELEASE_LIMIT || release[0] < '0' || release[0] > '9')
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = release[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c && strchr("._+~-", c))))
			return false;
	}
	return true;
}

/* The word at `at`, if it can be a release. */
static bool take_release(struct vmlinux *image, struct bytes from, size_t at)
{
	char word[VMLINUX_RELEASE_LIMIT + 1] = {0};

	for (size_t i = 0; at + i < from.size; i++) {
		uint8_t c = from.data[at + i];

		if (c == '\0' || c == ' ')
			break;
		if (i == VMLINUX_RELEASE_LIMIT)
			return false;
		word[i] = (char)c;
	}
	if (!vmlinux_release_is_valid(word))
		return false;
	memcpy(image->release, word, sizeof(word));
	return true;
}

static bool find_banner(struct vmlinux *image, struct bytes from)
{
	static const char banner[] = "Linux version ";
	const uint8_t *at = from.data, *end = from.data + from.size;

	while ((at = memmem(at, (size_t)(end - at), banner, sizeof(banner) - 1))) {
		at += sizeof(banner) - 1;
		if (take_release(image, from, (size_t)(at - from.data)))
			return true;
	}
	return false;
}

/* Drivers carry their names: modules' are not in the kernel. */
static bool has_virtio(struct bytes from)
{
	static const char driver[] = "virtio_blk"; /* with its NUL */

	return memmem(from.data, from.size, driver, sizeof(driver));
}

static int check_machine(uint16_t found, uint16_t machine, struct annex_error **err)
{
	if (found == machine)
		return 0;
	return fail(err, ANNEX_ERROR_UNSUPPORTED, "it is a kernel for %s, not for %s", machine_name(found),
		    machine_name(machine));
}

/* `from` has the ELF magic. */
static int parse_elf(struct vmlinux *image, struct bytes from, uint16_t machine, struct annex_error **err)
{
	uint16_t found = EM_NONE;

	if (!elf_machine(&found, from.data, from.size))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "it is no 64-bit ELF file");
	if (!image->release[0] && !find_banner(image, from))
		return fail(err, ANNEX_ERROR_USAGE, "it is a program, not a Linux kernel");
	if (check_machine(found, machine, err) < 0)
		return -1;
	if (!elf_is_complete(from.data, from.size))
		return fail(err, ANNEX_ERROR_CORRUPT, "the kernel is cut off");
	image->virtio = has_virtio(from);
	image->pvh = machine == EM_X86_64 && elf_has_pvh(from.data, from.size);
	if (!image->pvh && !image->boxed)
		return fail(err, ANNEX_ERROR_UNSUPPORTED,
			    "QEMU can't start this ELF kernel: it has no PVH entry (CONFIG_PVH); its bzImage will do");
	return 0;
}

/* What may be the kernel in a bzImage. */
static int try_payload(struct vmlinux *image, struct bytes payload, uint16_t machine, struct annex_error **err)
{
	auto_free char *plain = NULL;
	size_t size = 0;

	if (decompress_format(payload.data, payload.size) == DECOMPRESS_NONE)
		return fail(err, ANNEX_ERROR_CORRUPT, "no kernel is where the bzImage's header says");
	if (decompress_bytes(&plain, &size, payload.data, payload.size, VMLINUX_PLAIN_LIMIT, err) < 0)
		return fail_while(err, "the kernel in it");
	if (!elf_is(plain, size))
		return fail(err, ANNEX_ERROR_CORRUPT, "what the bzImage holds is not an ELF kernel");
	if (parse_elf(image, (struct bytes){(uint8_t *)plain, size}, machine, err) < 0)
		return -1;
	image->plain = TAKE(plain);
	image->plain_size = size;
	return 0;
}

/* Is this what a payload's decoder could start at? The shortest magics turn up by chance in code all the time: LZMA is
 * found by its header only. */
static bool may_be_payload(const uint8_t *at, size_t size)
{
	enum decompress_format format = decompress_format(at, size);

	return format != DECOMPRESS_NONE && format != DECOMPRESS_LZMA && format != DECOMPRESS_BZIP2;
}

static int scan(struct vmlinux *image, struct bytes file, size_t from, uint16_t machine)
{
	unsigned tried = 0;

	for (size_t at = from; at + DECOMPRESS_MAGIC_SIZE < file.size && tried < VMLINUX_SCAN_LIMIT; at++) {
		if (!may_be_payload(file.data + at, file.size - at))
			continue;
		tried++;
		if (try_payload(image, (struct bytes){file.data + at, file.size - at}, machine, NULL) == 0)
			return 0;
	}
	return -1;
}

static bool is_bzimage(struct bytes file)
{
	return file.size >= SETUP_SIZE && memcmp(file.data + SETUP_MAGIC, "HdrS", 4) == 0;
}

static int parse_bzimage(struct vmlinux *image, struct bytes file, uint16_t machine, struct annex_error **err)
{
	auto_error struct annex_error *first = NULL;
	size_t sectors = file.data[SETUP_SECTORS] ? file.data[SETUP_SECTORS] : 4;
	size_t code = (sectors + 1) * SECTOR, payload = code + little(file.data + SETUP_PAYLOAD, 4);
	size_t length = little(file.data + SETUP_PAYLOAD_SIZE, 4);
	uint32_t version = little(file.data + SETUP_VERSION, 2), protocol = little(file.data + SETUP_PROTOCOL, 2);

	if (check_machine(EM_X86_64, machine, err) < 0)
		return -1;
	if (code >= file.size)
		return fail(err, ANNEX_ERROR_CORRUPT, "the bzImage is cut off");
	image->boxed = true;
	if (version)
		take_release(image, file, version + 0x200);
	if (protocol >= PROTOCOL_WITH_PAYLOAD) {
		if (payload > file.size || length > file.size - payload)
			return fail(err, ANNEX_ERROR_CORRUPT, "the bzImage is cut off");
		if (try_payload(image, (struct bytes){file.data + payload, length}, machine, &first) == 0)
			return 0;
		if (annex_error_kind(first) != ANNEX_ERROR_CORRUPT)
			return fail_relayed(err, annex_error_kind(first), 0, annex_error_message(first), NULL);
	}
	if (scan(image, file, code, machine) == 0)
		return 0;
	if (first)
		return fail_relayed(err, annex_error_kind(first), 0, annex_error_message(first), NULL);
	return fail(err, ANNEX_ERROR_CORRUPT, "no kernel is in the bzImage");
}

static bool is_arm64(struct bytes file)
{
	return file.size >= ARM64_MAGIC + 8 && memcmp(file.data + ARM64_MAGIC, "ARM\x64", 4) == 0;
}

static int parse_arm64(struct vmlinux *image, struct bytes file, uint16_t machine, struct annex_error **err)
{
	if (check_machine(EM_AARCH64, machine, err) < 0)
		return -1;
	if (!find_banner(image, file))
		return fail(err, ANNEX_ERROR_CORRUPT, "the kernel has no version in it");
	image->virtio = has_virtio(file);
	return 0;
}

static int parse_plain(struct vmlinux *image, struct bytes file, uint16_t machine, struct annex_error **err)
{
	if (elf_is(file.data, file.size))
		return parse_elf(image, file, machine, err);
	if (is_bzimage(file))
		return parse_bzimage(image, file, machine, err);
	if (is_arm64(file))
		return parse_arm64(image, file, machine, err);
	return fail(err, ANNEX_ERROR_USAGE, "it is not a Linux kernel (vmlinux or bzImage)");
}

/* A kernel that is compressed as a whole, as arm64's are. A bzImage in there is not unboxed twice. */
static int parse_packed(struct vmlinux *image, struct bytes file, uint16_t machine, struct annex_error **err)
{
	auto_free char *plain = NULL;
	struct bytes inner;
	size_t size = 0;

	if (decompress_bytes(&plain, &size, file.data, file.size, VMLINUX_PLAIN_LIMIT, err) < 0)
		return -1;
	inner = (struct bytes){(uint8_t *)plain, size};
	if (is_bzimage(inner))
		return fail(err, ANNEX_ERROR_USAGE, "it is a compressed bzImage; decompress it first");
	if (parse_plain(image, inner, machine, err) < 0)
		return -1;
	image->plain = TAKE(plain);
	image->plain_size = size;
	return 0;
}

int vmlinux_parse(struct vmlinux *ret, const void *bytes, size_t size, uint16_t machine, struct annex_error **err)
{
	auto_vmlinux struct vmlinux image = {0};
	struct bytes file = {bytes, size};
	int result;

	if (size == 0)
		return fail(err, ANNEX_ERROR_USAGE, "it is empty");
	if (machine == EM_NONE)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "machines run on x86-64 and arm64 hosts only");
	if (decompress_format(bytes, size) != DECOMPRESS_NONE)
		result = parse_packed(&image, file, machine, err);
	else
		result = parse_plain(&image, file, machine, err);
	if (result < 0)
		return -1;
	*ret = image;
	image = (struct vmlinux){0};
	return 0;
}
