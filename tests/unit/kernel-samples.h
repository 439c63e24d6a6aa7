#pragma once
/* Kernels and modules made on the spot: the smallest that pass for real ones. */
#include "base/cleanup.h"

#include <elf.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define SAMPLE_RELEASE "6.9.1-test"

enum { SAMPLE_SIZE = 64 << 10, SAMPLE_CODE = 1024, SAMPLE_PAYLOAD = 300 };

enum sample_packing {
	SAMPLE_GZIP,
	SAMPLE_XZ,
	SAMPLE_LZMA,
	SAMPLE_ZSTD,
	SAMPLE_LZ4,
	SAMPLE_LZ4_LEGACY,
	SAMPLE_PACKINGS,
};

struct sample {
	uint8_t *data;
	size_t size;
};

static inline void sample_clear(struct sample *sample)
{
	free(sample->data);
}
#define auto_sample CLEANUP(sample_clear)

static inline void sample_put(struct sample *sample, size_t at, const void *bytes, size_t size)
{
	memcpy(sample->data + at, bytes, size);
}

static inline void sample_put32(struct sample *sample, size_t at, uint32_t value)
{
	uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};

	sample_put(sample, at, bytes, sizeof(bytes));
}

/* An ELF kernel: one segment that is loaded, and the PVH note if wanted. */
static inline struct sample sample_vmlinux(uint16_t machine, bool pvh)
{
	static const char banner[] = "Linux version %s\0Linux version " SAMPLE_RELEASE " (someone@host) #1 SMP";
	struct sample made = {calloc(1, SAMPLE_SIZE), SAMPLE_SIZE};
	Elf64_Ehdr header = {.e_type = ET_EXEC,
			     .e_machine = machine,
			     .e_phoff = sizeof(header),
			     .e_phentsize = sizeof(Elf64_Phdr),
			     .e_phnum = 2};
	Elf64_Phdr load = {.p_type = PT_LOAD, .p_offset = 4096, .p_filesz = SAMPLE_SIZE - 4096};
	Elf64_Phdr notes = {.p_type = PT_NOTE, .p_offset = 512, .p_filesz = 64};
	Elf64_Nhdr other = {.n_namesz = 4, .n_descsz = 5, .n_type = 1},
		   note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18};

	memcpy(header.e_ident, ELFMAG "\x02\x01\x01", 7);
	sample_put(&made, 0, &header, sizeof(header));
	sample_put(&made, sizeof(header), &load, sizeof(load));
	sample_put(&made, sizeof(header) + sizeof(load), &notes, sizeof(notes));
	sample_put(&made, 512, &other, sizeof(other));
	sample_put(&made, 524, "GNU", 4);
	if (pvh)
		sample_put(&made, 536, &note, sizeof(note));
	sample_put(&made, 548, "Xen", 4);
	for (size_t i = 4096; i < SAMPLE_SIZE; i++)
		made.data[i] = (uint8_t)(i * i >> 7);
	sample_put(&made, 8192, banner, sizeof(banner));
	sample_put(&made, 9000, "\0virtio_blk", 12);
	return made;
}

static inline size_t sample_pack_gzip(uint8_t *to, size_t room, const struct sample *plain)
{
	z_stream stream = {
		.next_in = plain->data, .avail_in = (uInt)plain->size, .next_out = to, .avail_out = (uInt)room};

	if (deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	return room - stream.avail_out;
}

static inline size_t sample_pack_lzma(uint8_t *to, size_t room, const struct sample *plain, bool xz)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	lzma_lzma_preset(&options, 1);
	if ((xz ? lzma_easy_encoder(&stream, 1, LZMA_CHECK_CRC32) : lzma_alone_encoder(&stream, &options)) != LZMA_OK)
		return 0;
	stream.next_in = plain->data;
	stream.avail_in = plain->size;
	stream.next_out = to;
	stream.avail_out = room;
	room = lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END ? room - stream.avail_out : 0;
	lzma_end(&stream);
	return room;
}

static inline size_t sample_pack_legacy(struct sample *to, const struct sample *plain)
{
	int size = LZ4_compress_default((const char *)plain->data, (char *)to->data + 8, (int)plain->size,
					(int)to->size - 8);

	sample_put32(to, 0, 0x184c2102);
	sample_put32(to, 4, (uint32_t)size);
	return 8 + (size_t)size;
}

static inline struct sample sample_pack(const struct sample *plain, enum sample_packing packing)
{
	size_t room = 2 * plain->size + 4096;
	struct sample made = {calloc(1, room), room};

	switch (packing) {
	case SAMPLE_GZIP:
		made.size = sample_pack_gzip(made.data, room, plain);
		break;
	case SAMPLE_XZ:
	case SAMPLE_LZMA:
		made.size = sample_pack_lzma(made.data, room, plain, packing == SAMPLE_XZ);
		break;
	case SAMPLE_ZSTD:
		made.size = ZSTD_compress(made.data, room, plain->data, plain->size, 3);
		break;
	case SAMPLE_LZ4:
		made.size = LZ4F_compressFrame(made.data, room, plain->data, plain->size, NULL);
		break;
	case SAMPLE_LZ4_LEGACY:
	case SAMPLE_PACKINGS:
		made.size = sample_pack_legacy(&made, plain);
		break;
	}
	return made;
}

/* A bzImage around a kernel: setup header, some code, the payload followed by its plain size, and more code. */
static inline struct sample sample_bzimage(const struct sample *plain, enum sample_packing packing)
{
	auto_sample struct sample payload = sample_pack(plain, packing);
	size_t at = 2 * 512 + SAMPLE_PAYLOAD, size = at + payload.size + 4 + SAMPLE_CODE;
	struct sample made = {calloc(1, size), size};

	for (size_t i = 512; i < size; i++)
		made.data[i] = 0xcc;
	made.data[0x1f1] = 1; /* sectors of setup */
	sample_put(&made, 0x202, "HdrS\x0f\x02", 6);
	made.data[0x20e] = 0x80; /* of the version, less 0x200 */
	made.data[0x20f] = 0x01;
	sample_put(&made, 0x380, SAMPLE_RELEASE " (someone@host) #1 SMP",
		   sizeof(SAMPLE_RELEASE " (someone@host) #1 SMP"));
	sample_put32(&made, 0x248, SAMPLE_PAYLOAD);
	sample_put32(&made, 0x24c, (uint32_t)payload.size + 4);
	sample_put(&made, at, payload.data, payload.size);
	sample_put32(&made, at + payload.size, (uint32_t)plain->size);
	return made;
}

/* A module: an ELF file with the section .modinfo. `info` has NULs between its texts. */
static inline struct sample sample_module(const char *info, size_t info_size)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	size_t size = 512 + info_size;
	struct sample made = {calloc(1, size), size};
	Elf64_Ehdr header = {.e_type = ET_REL,
			     .e_machine = EM_X86_64,
			     .e_shoff = 64,
			     .e_shentsize = sizeof(Elf64_Shdr),
			     .e_shnum = 3,
			     .e_shstrndx = 2};
	Elf64_Shdr sections[3] = {{0},
				  {.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = 512, .sh_size = info_size},
				  {.sh_name = 10, .sh_type = SHT_STRTAB, .sh_offset = 400, .sh_size = sizeof(names)}};

	memcpy(header.e_ident, ELFMAG "\x02\x01\x01", 7);
	sample_put(&made, 0, &header, sizeof(header));
	sample_put(&made, 64, sections, sizeof(sections));
	sample_put(&made, 400, names, sizeof(names));
	sample_put(&made, 512, info, info_size);
	return made;
}
