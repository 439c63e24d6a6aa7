/* Runs a fuzz target over every file of a corpus folder, and over each of its truncations to catch short reads. */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t run_file(int dir, const char *name)
{
	auto_free char *bytes = NULL;
	size_t size = 0, runs = 0, step;

	if (file_read(&bytes, &size, dir, name, 4u << 20) < 0)
		return 0;
	step = size / 64 + 1;
	for (size_t n = 0; n < size; n += step, runs++) {
		auto_free uint8_t *exact = malloc(n ? n : 1);

		for (size_t i = 0; exact && i < n; i++)
			exact[i] = (uint8_t)bytes[i];
		LLVMFuzzerTestOneInput(exact, n);
	}
	LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
	return runs + 1;
}

int main(int argc, char **argv)
{
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	size_t files = 0, runs = 0;

	if (!folder) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(folder))) {
		size_t done = entry->d_name[0] == '.' ? 0 : run_file(dirfd(folder), entry->d_name);

		files += done > 0;
		runs += done;
	}
	closedir(folder);
	printf("%zu files, %zu runs\n", files, runs);
	return files == 0; /* an empty corpus tests nothing */
}
