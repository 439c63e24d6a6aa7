#pragma once
#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 32 bits: quick, and the same everywhere. Begin with HASH_BEGIN and go on with what it gives. Not for where a
 * stranger who chooses the bytes must not choose the hash. */
#define HASH_BEGIN 2166136261u

static inline uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ at[i]) * 16777619u;
	return hash;
}
