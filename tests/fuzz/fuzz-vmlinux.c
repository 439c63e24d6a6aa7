/* Kernel files: bzImage headers, ELF headers and notes, and every decompressor. */
#include "kernel/elf.h"
#include "kernel/vmlinux.h"

#include <elf.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t machines[] = {EM_X86_64, EM_AARCH64};
	const char *section = NULL;
	size_t section_size = 0;

	for (size_t i = 0; i < COUNT_OF(machines); i++) {
		auto_vmlinux struct vmlinux found = {0};
		auto_error struct annex_error *err = NULL;

		if (vmlinux_parse(&found, data, size, machines[i], &err) == 0 &&
		    !vmlinux_release_is_valid(found.release))
			abort();
	}
	if (elf_section(&section, &section_size, data, size, ".modinfo") &&
	    (section_size > size || section < (const char *)data || section + section_size > (const char *)data + size))
		abort();
	return 0;
}
