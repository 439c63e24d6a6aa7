#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 64-bit little-endian ELF files in memory: kernels and their modules. Nothing in them is trusted. */
#define ELF_NOTES_LIMIT 4096u /* notes of a segment */

bool elf_is(const void *bytes, size_t size); /* has the magic */
/* Is it a whole header of a 64-bit little-endian file? Then *ret_machine is one of <elf.h>'s EM_…. */
bool elf_machine(uint16_t *ret_machine, const void *bytes, size_t size);
/* Do all segments that are to be loaded lie inside the file, and is there one at all? */
bool elf_is_complete(const void *bytes, size_t size);
/* Has it the Xen note that QEMU's -kernel starts an ELF kernel by (XEN_ELFNOTE_PHYS32_ENTRY)? */
bool elf_has_pvh(const void *bytes, size_t size);
/* The bytes of a section; false when there is none. They point into `bytes`. */
bool elf_section(const char **ret, size_t *ret_size, const void *bytes, size_t size, const char *name);
