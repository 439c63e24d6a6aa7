/* Reads headers by copying them out, so that neither alignment nor a lying offset matters: see part(). */
#include "kernel/elf.h"

#include <elf.h>
#include <string.h>

#define XEN_NAME         "Xen"
#define XEN_PHYS32_ENTRY 18u /* xen/include/public/elfnote.h */

bool elf_is(const void *bytes, size_t size)
{
	return size >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

/* Copy `size` bytes at `offset` if the file has them. */
static bool part(void *to, size_t wanted, const void *bytes, size_t size, uint64_t offset)
{
	if (offset > size || wanted > size - offset)
		return false;
	memcpy(to, (const char *)bytes + offset, wanted);
	return true;
}

static bool read_header(Elf64_Ehdr *header, const void *bytes, size_t size)
{
	return elf_is(bytes, size) && part(header, sizeof(*header), bytes, size, 0) &&
	       header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB;
}

bool elf_machine(uint16_t *ret_machine, const void *bytes, size_t size)
{
	Elf64_Ehdr header;

	if (!read_header(&header, bytes, size))
		return false;
	*ret_machine = header.e_machine;
	return true;
}

/* Row `i` of a table whose rows may be longer than we know them. */
static bool row(void *to, size_t wanted, const void *bytes, size_t size, uint64_t table, uint16_t length, size_t i)
{
	uint64_t offset;

	if (length < wanted || __builtin_add_overflow(table, (uint64_t)i * length, &offset))
		return false;
	return part(to, wanted, bytes, size, offset);
}

bool elf_is_complete(const void *bytes, size_t size)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	bool loads = false;

	if (!read_header(&header, bytes, size))
		return false;
	for (size_t i = 0; i < header.e_phnum; i++) {
		if (!row(&segment, sizeof(segment), bytes, size, header.e_phoff, header.e_phentsize, i))
			return false;
		if (segment.p_type != PT_LOAD)
			continue;
		if (segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
			return false;
		loads = true;
	}
	return loads;
}

static uint64_t padded(uint32_t size)
{
	return ((uint64_t)size + 3) / 4 * 4;
}

static bool notes_have_pvh(const char *notes, size_t size)
{
	uint64_t at = 0;
	Elf64_Nhdr note;

	for (size_t i = 0; i < ELF_NOTES_LIMIT && part(&note, sizeof(note), notes, size, at); i++) {
		char name[sizeof(XEN_NAME)] = {0};

		at += sizeof(note);
		if (note.n_type == XEN_PHYS32_ENTRY && note.n_namesz == sizeof(name) &&
		    part(name, sizeof(name), notes, size, at) && memcmp(name, XEN_NAME, sizeof(name)) == 0)
			return true;
		at += padded(note.n_namesz) + padded(note.n_descsz);
	}
	return false;
}

bool elf_has_pvh(const void *bytes, size_t size)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (!read_header(&header, bytes, size))
		return false;
	for (size_t i = 0; i < header.e_phnum; i++) {
		if (!row(&segment, sizeof(segment), bytes, size, header.e_phoff, header.e_phentsize, i))
			return false;
		if (segment.p_type == PT_NOTE && segment.p_offset <= size &&
		    segment.p_filesz <= size - segment.p_offset &&
		    notes_have_pvh((const char *)bytes + segment.p_offset, segment.p_filesz))
			return true;
	}
	return false;
}

bool elf_section(const char **ret, size_t *ret_size, const void *bytes, size_t size, const char *name)
{
	Elf64_Ehdr header;
	Elf64_Shdr names, section;
	size_t length = strlen(name) + 1;

	if (!read_header(&header, bytes, size) ||
	    !row(&names, sizeof(names), bytes, size, header.e_shoff, header.e_shentsize, header.e_shstrndx))
		return false;
	for (size_t i = 0; i < header.e_shnum; i++) {
		uint64_t at;

		if (!row(&section, sizeof(section), bytes, size, header.e_shoff, header.e_shentsize, i))
			return false;
		if (section.sh_type == SHT_NOBITS || __builtin_add_overflow(names.sh_offset, section.sh_name, &at) ||
		    at > size || length > size - at || memcmp((const char *)bytes + at, name, length) != 0)
			continue;
		if (section.sh_offset > size || section.sh_size > size - section.sh_offset)
			return false;
		*ret = (const char *)bytes + section.sh_offset;
		*ret_size = section.sh_size;
		return true;
	}
	return false;
}
