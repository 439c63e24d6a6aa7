/* A file system with a few megabytes gets full, says so, loses nothing, and goes on when there is room again. */
#include "posix.h"

#include "alone.h"

#define BLOCK 65536

static void fill_block(char block[BLOCK], int number)
{
	for (int i = 0; i < BLOCK; i++)
		block[i] = pattern_byte((off_t)number * BLOCK + i);
}

static void gets_full(void)
{
	static char block[BLOCK], read_back[BLOCK];
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644)), count = 0;
	off_t size = 0;
	ssize_t n;

	for (;; count++) {
		fill_block(block, count);
		n = write(fd, block, BLOCK);
		if (n < 0)
			break;
		size += n;
		TRUE(count < 1000);
		if (n < BLOCK)
			break;
	}
	FAILS(ENOSPC, n < 0 ? n : write(fd, block, BLOCK));
	TRUE(count > 1);
	EQUAL(stat_of("file").st_size, size);
	FAILS(ENOSPC, fallocate(fd, 0, size, 16 << 20));
	FAILS(ENOSPC, copy_file_range(fd, &(off_t){0}, fd, &(off_t){size + BLOCK}, BLOCK, 0));
	OK(fsync(fd));
	OK(close(fd));
	fd = opened("file", O_RDWR);
	for (int i = 0; i < count; i++) {
		fill_block(block, i);
		EQUAL(pread(fd, read_back, BLOCK, (off_t)i * BLOCK), BLOCK);
		SAME(read_back, block, BLOCK);
	}
	OK(ftruncate(fd, BLOCK));
	EQUAL(pwrite(fd, block, BLOCK, BLOCK), BLOCK);
	make_sized("other", BLOCK);
	OK(unlink("file"));
	OK(unlink("other"));
}

int full_main(int argc, char **argv)
{
	return alone(argc, argv, gets_full);
}
