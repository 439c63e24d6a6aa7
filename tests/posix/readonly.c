/*
 * On what is shared read-only, everything that would change something fails with EROFS, root or not, and everything
 * else works. The folder holds a file "file" with "text", an empty folder "folder" and a link "link" to the file.
 */
#include "posix.h"

#include <sys/mman.h>
#include <sys/xattr.h>

#include "alone.h"

static void changes_fail(void)
{
	struct timespec times[2] = {{1, 1}, {1, 1}};

	FAILS(EROFS, open("file", O_WRONLY));
	FAILS(EROFS, open("file", O_RDWR));
	FAILS(EROFS, open("file", O_RDONLY | O_TRUNC));
	FAILS(EROFS, open("new", O_CREAT | O_RDWR, 0644));
	FAILS(EROFS, open(".", O_TMPFILE | O_RDWR, 0644));
	FAILS(EROFS, mkdir("new", 0755));
	FAILS(EROFS, rmdir("folder"));
	FAILS(EROFS, unlink("file"));
	FAILS(EROFS, rename("file", "new"));
	FAILS(EROFS, rename_with("file", "link", 2));
	FAILS(EROFS, link("file", "new"));
	FAILS(EROFS, symlink("x", "new"));
	FAILS(EROFS, mkfifo("new", 0644));
	FAILS(EROFS, truncate("file", 0));
	FAILS(EROFS, chmod("file", 0600));
	FAILS(EROFS, chown("file", geteuid(), getegid()));
	FAILS(EROFS, lchown("link", geteuid(), getegid()));
	FAILS(EROFS, utimensat(AT_FDCWD, "file", times, 0));
	FAILS(EROFS, utimensat(AT_FDCWD, "file", NULL, 0));
	FAILS(EROFS, setxattr("file", "user.a", "x", 1, 0));
	FAILS(EROFS, removexattr("file", "user.a"));
	FAILS(EROFS, access("file", W_OK));
	FAILS(EROFS, open("folder/new", O_CREAT | O_RDWR, 0644));
	FAILS(EEXIST, mkdir("folder", 0755));
}

static void nothing_changed(void)
{
	int fd = opened("file", O_RDONLY);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	has_text("file", "text");
	has_text("link", "text");
	EQUAL(names_in("."), 3);
	EQUAL(names_in("folder"), 0);
	TRUE(at != MAP_FAILED);
	at[0] = 'T';
	EQUAL(pread(fd, at + 100, 4, 0), 4);
	SAME(at + 100, "text", 4);
	FAILS(EBADF, write(fd, "x", 1));
	FAILS(EINVAL, ftruncate(fd, 0));
	OK(access("file", R_OK));
	OK(fsync(fd));
	OK(syncfs(fd));
}

static void all(void)
{
	changes_fail();
	nothing_changed();
}

int readonly_main(int argc, char **argv)
{
	return alone(argc, argv, all);
}
