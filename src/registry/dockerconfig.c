/*
 * Reading is lenient in what keys look like, since other tools wrote them over ten years, and strict in everything
 * else. Writing touches the entry in question only: all else in the file is kept as it is, in its order.
 *
 * To change a file is to hold a lock on it. As a change replaces the file, whoever gets the lock must look whether it
 * is still the file that the name leads to. Docker and Podman know no locks; against them, only the rename protects.
 */
#include "registry/dockerconfig.h"

#include "base/base64.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define HUB     "docker.io"
#define HUB_URL "https://index.docker.io/v1/" /* Docker's name for it, since 2013 */

void dockerconfig_clear(struct dockerconfig *config)
{
	free(config->path);
	json_decref(config->root);
	cleanup_close(&config->lock);
	*config = (struct dockerconfig)DOCKERCONFIG_INIT;
}

/* Not by jansson's own words: they quote what stands near, which may be a secret. */
static int damaged(const struct dockerconfig *config, const char *what, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_CORRUPT, "%s is damaged: %s", config->path, what);
	return fail_hint(err, "repair the file, or remove it and log in again");
}

static int check(const struct dockerconfig *config, struct annex_error **err)
{
	static const char *const names[] = {"auths", "credHelpers"};

	if (!json_is_object(config->root))
		return damaged(config, "not a JSON object", err);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const json_t *object = json_object_get(config->root, names[i]);

		if (!object || json_is_null(object))
			continue;
		if (!json_is_object(object) || json_object_size(object) > DOCKERCONFIG_ENTRY_LIMIT) {
			auto_free char *what = NULL;

			if (asprintf(&what, "%s is not an object of at most %u entries", names[i],
				     DOCKERCONFIG_ENTRY_LIMIT) < 0) {
				what = NULL;
				return fail_memory(err);
			}
			return damaged(config, what, err);
		}
	}
	return 0;
}

static int parse(struct dockerconfig *config, const char *bytes, size_t size, struct annex_error **err)
{
	char what[64];
	json_error_t problem;

	if (strspn(bytes, " \t\r\n") == size) {
		config->root = json_object(); /* so does Docker take an empty file */
		return config->root ? 0 : fail_memory(err);
	}
	config->root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
	if (config->root)
		return check(config, err);
	snprintf(what, sizeof(what), "not JSON, in line %d", problem.line);
	return damaged(config, what, err);
}

static int load(struct dockerconfig *config, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, AT_FDCWD, config->path, DOCKERCONFIG_SIZE_LIMIT);
	struct stat st;

	/* What is in a folder of others' (Podman's for root in /run, say) is not for us. */
	if (result == -ENOENT || result == -ENOTDIR || (result == -EACCES && stat(config->path, &st) < 0))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "%s does not exist", config->path);
	if (result == -EACCES) {
		fail_os(err, result, "cannot read %s", config->path);
		return fail_hint(err, "sudo chown %u '%s'", (unsigned)geteuid(), config->path);
	}
	if (result == -EFBIG)
		return damaged(config, "it is larger than 1 MiB", err);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", config->path);
	result = parse(config, bytes, size, err);
	explicit_bzero(bytes, size);
	return result;
}

int dockerconfig_read(struct dockerconfig *ret, const char *path, bool is_docker, struct annex_error **err)
{
	auto_dockerconfig struct dockerconfig made = {strdup(path), NULL, is_docker, -EBADF};

	if (!made.path)
		return fail_memory(err);
	if (load(&made, err) < 0)
		return -1;
	*ret = made;
	made = (struct dockerconfig)DOCKERCONFIG_INIT;
	return 0;
}

static int make_parent(const char *path)
{
	auto_free char *folder = strdup(path);
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	return file_make_folders(folder, 0700);
}

/* A file that is there is left alone; a new one is never seen without its content. */
static int make_file(const char *path)
{
	static const char content[] = "{}\n";
	auto_free char *made = NULL;
	int result;

	if (asprintf(&made, "%s.%d.made", path, (int)getpid()) < 0) {
		made = NULL;
		return -ENOMEM;
	}
	result = file_write_atomic(AT_FDCWD, made, content, strlen(content), 0600);
	if (result == 0 && link(made, path) < 0 && errno != EEXIST)
		result = -errno;
	unlink(made);
	return result;
}

/* The descriptor that holds the lock, or -errno. */
static int lock(const char *path)
{
	for (;;) {
		auto_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
		struct stat ours, theirs;

		if (fd < 0 && errno == ENOENT) {
			int result = make_file(path);

			if (result < 0)
				return result;
			continue;
		}
		if (fd < 0 && (errno == EACCES || errno == EROFS))
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
		while (flock(fd, LOCK_EX) < 0) {
			if (errno != EINTR)
				return -errno;
		}
		if (fstat(fd, &ours) < 0)
			return -errno;
		if (stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
			return TAKE_FD(fd);
	}
}

int dockerconfig_edit(struct dockerconfig *ret, const char *path, bool is_docker, struct annex_error **err)
{
	auto_dockerconfig struct dockerconfig made = DOCKERCONFIG_INIT;
	int result = make_parent(path);

	if (result < 0)
		return fail_os(err, result, "cannot make the folder of %s", path);
	made.is_docker = is_docker;
	made.path = realpath(path, NULL);
	if (!made.path && errno == ENOENT) {
		struct stat st;

		if (lstat(path, &st) == 0)
			return fail_os(err, ENOENT, "cannot follow the link %s", path);
		made.path = strdup(path);
	}
	if (!made.path)
		return fail_os(err, errno, "cannot open %s", path);
	made.lock = lock(made.path);
	if (made.lock < 0)
		return fail_os(err, made.lock, "cannot open %s", path);
	if (load(&made, err) < 0)
		return -1;
	*ret = made;
	made = (struct dockerconfig)DOCKERCONFIG_INIT;
	return 0;
}

/* What a key stands for: "domain" or "domain/path". URLs stand for their domain. NULL: out of memory. */
static char *plain_key(const char *key)
{
	static const char *const hub[] = {HUB, "index.docker.io", "registry-1.docker.io"};
	const char *scheme = strstr(key, "://"), *at = scheme ? scheme + 3 : key;
	size_t domain = strcspn(at, "/"), length = scheme ? domain : strlen(at);
	char *made;

	while (length > domain && at[length - 1] == '/')
		length--;
	for (size_t i = 0; i < COUNT_OF(hub); i++) {
		if (strlen(hub[i]) != domain || memcmp(hub[i], at, domain) != 0)
			continue;
		if (i > 0)
			length = domain; /* "index.docker.io/v1" is no part of it */
		return asprintf(&made, HUB "%.*s", (int)(length - domain), at + domain) < 0 ? NULL : made;
	}
	return strndup(at, length);
}

/* Is `wanted` the key's domain or path, or something below it? */
static bool covers(const char *key, const char *wanted)
{
	size_t length = strlen(key);

	return length > 0 && strncmp(key, wanted, length) == 0 && (!wanted[length] || wanted[length] == '/');
}

/* Credentials, or is it the mark of a helper's? */
static bool is_filled(const json_t *entry)
{
	static const char *const fields[] = {"auth", "identitytoken", "username", "password"};

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (json_string_length(json_object_get(entry, fields[i])) > 0)
			return true;
	}
	return false;
}

/* The key in one of the objects that covers most of `wanted`; of those that cover the same, the one that is spelled
 * plainly. */
static int find_key(const char **ret, json_t *object, const char *wanted, bool filled, struct annex_error **err)
{
	size_t best = 0;
	const char *key;
	json_t *value;

	*ret = NULL;
	json_object_foreach(object, key, value)
	{
		auto_free char *plain = plain_key(key);
		size_t score;

		if (!plain)
			return fail_memory(err);
		score = 2 * strlen(plain) + (strcmp(plain, key) == 0);
		if (score > best && covers(plain, wanted) && (!filled || is_filled(value))) {
			best = score;
			*ret = key;
		}
	}
	return 0;
}

static int checked_helper(const char **ret, const struct dockerconfig *config, const json_t *value,
			  struct annex_error **err)
{
	const char *name = json_string_value(value);

	if (!name || !*name) {
		*ret = NULL;
		return 0;
	}
	if (strlen(name) > DOCKERCONFIG_NAME_LIMIT ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(name))
		return damaged(config, "what it names as a credential helper can't be one", err);
	*ret = name;
	return 0;
}

int dockerconfig_helper(const char **ret, const struct dockerconfig *config, const char *domain,
			struct annex_error **err)
{
	json_t *helpers = json_object_get(config->root, "credHelpers");
	const char *key = NULL;

	if (find_key(&key, helpers, domain, false, err) < 0)
		return -1;
	return checked_helper(ret, config, key ? json_object_get(helpers, key) : NULL, err);
}

int dockerconfig_store(const char **ret, const struct dockerconfig *config, struct annex_error **err)
{
	return checked_helper(ret, config, json_object_get(config->root, "credsStore"), err);
}

struct entry {
	char *auth, *identity_token, *username, *password;
};
static const struct json_row entry_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "auth", struct entry, auth, false),
	JSON_ROW(JSON_ROW_TEXT, "identitytoken", struct entry, identity_token, false),
	JSON_ROW(JSON_ROW_TEXT, "username", struct entry, username, false),
	JSON_ROW(JSON_ROW_TEXT, "password", struct entry, password, false),
};

static void entry_clear(struct entry *entry)
{
	credential_clear(&(struct credential){entry->username, entry->password, entry->identity_token});
	credential_clear(&(struct credential){NULL, entry->auth, NULL});
}

/* "user:password" in base64; Docker once padded with NULs. */
static int split_auth(struct credential *ret, const char *auth)
{
	size_t size = 0;
	char *bytes = NULL, *colon;
	int result = base64_decode(&bytes, &size, auth);

	if (result < 0)
		return result;
	while (size > 0 && !bytes[size - 1])
		size--;
	colon = memchr(bytes, ':', size);
	if (colon && strlen(bytes) == size) {
		*colon = '\0';
		ret->username = strdup(bytes);
		ret->password = strdup(colon + 1);
		result = ret->username && ret->password ? 0 : -ENOMEM;
	} else {
		result = -EINVAL;
	}
	explicit_bzero(bytes, size);
	free(bytes);
	return result;
}

static int decode_entry(struct credential *ret, const struct dockerconfig *config, const char *key, const json_t *value,
			struct annex_error **err)
{
	CLEANUP(entry_clear) struct entry entry = {0};
	auto_credential struct credential made = {0};
	int result = 0;

	if (json_decode(&entry, value, entry_rows, COUNT_OF(entry_rows), key, err) < 0)
		return fail_while(err, "%s", config->path);
	if (entry.identity_token && *entry.identity_token) {
		made.identity_token = TAKE(entry.identity_token);
	} else if (entry.auth && *entry.auth) {
		result = split_auth(&made, entry.auth);
	} else if (entry.username && entry.password) {
		made.username = TAKE(entry.username);
		made.password = TAKE(entry.password);
	}
	if (made.username && strchr(made.username, ':'))
		return damaged(config, "a user name in it has a colon", err);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result < 0)
		return damaged(config, "an \"auth\" in it is not a user name and a password in base64", err);
	*ret = made;
	made = (struct credential){0};
	return 0;
}

int dockerconfig_find(struct credential *ret, const struct dockerconfig *config, const char *domain, const char *path,
		      struct annex_error **err)
{
	json_t *auths = json_object_get(config->root, "auths");
	auto_free char *wanted = path ? path_join(domain, path) : strdup(domain);
	const char *key = NULL;

	if (!wanted)
		return fail_memory(err);
	if (find_key(&key, auths, wanted, true, err) < 0)
		return -1;
	*ret = (struct credential){0};
	return key ? decode_entry(ret, config, key, json_object_get(auths, key), err) : 0;
}

bool dockerconfig_holds(const struct dockerconfig *config, const char *domain)
{
	const char *key = NULL;

	return find_key(&key, json_object_get(config->root, "auths"), domain, true, NULL) == 0 && key;
}

int dockerconfig_list(struct text_list *list, const struct dockerconfig *config, struct annex_error **err)
{
	json_t *value;
	const char *key;

	json_object_foreach(json_object_get(config->root, "auths"), key, value)
	{
		char *plain = plain_key(key);

		if (plain)
			plain[strcspn(plain, "/")] = '\0';
		if (text_list_add_owned(list, plain) < 0)
			return fail_memory(err);
	}
	return 0;
}

size_t dockerconfig_servers(const char *ret[DOCKERCONFIG_SERVERS], const struct dockerconfig *config,
			    const char *domain)
{
	bool is_hub = strcmp(domain, HUB) == 0;

	ret[0] = is_hub && config->is_docker ? HUB_URL : domain;
	ret[1] = is_hub && config->is_docker ? HUB : HUB_URL;
	return is_hub ? 2 : 1;
}

static int encode_entry(json_t **ret, const struct credential *credential, struct annex_error **err)
{
	auto_secret char *auth = NULL, *pair = NULL;
	json_t *entry = json_object();
	int result;

	if (!entry)
		return fail_memory(err);
	*ret = entry;
	if (!credential)
		return 0;
	if (asprintf(&pair, "%s:%s", credential->username ? credential->username : "",
		     credential->password ? credential->password : "") < 0) {
		pair = NULL;
		return fail_memory(err);
	}
	auth = base64_encode(pair, strlen(pair));
	if (!auth)
		return fail_memory(err);
	result = json_object_set_new(entry, "auth", json_string(auth));
	if (result == 0 && credential->identity_token)
		result = json_object_set_new(entry, "identitytoken", json_string(credential->identity_token));
	return result < 0 ? fail_memory(err) : 0;
}

static json_t *make_auths(struct dockerconfig *config)
{
	json_t *auths = json_object_get(config->root, "auths");

	if (json_is_object(auths))
		return auths;
	if (json_object_set_new(config->root, "auths", json_object()) < 0)
		return NULL;
	return json_object_get(config->root, "auths");
}

/* Other spellings of the same domain go, or one of them might be found instead. `keep` may be NULL. */
static int remove_others(json_t *auths, const char *domain, const char *keep, bool *ret_removed, bool *ret_changed,
			 struct annex_error **err)
{
	const char *key;
	json_t *value;
	void *next;

	*ret_removed = *ret_changed = false;
	json_object_foreach_safe(auths, next, key, value)
	{
		auto_free char *plain = plain_key(key);

		if (!plain)
			return fail_memory(err);
		if (strcmp(plain, domain) != 0 || text_equal(key, keep))
			continue;
		*ret_removed = *ret_removed || is_filled(value);
		*ret_changed = true;
		json_object_del(auths, key);
	}
	return 0;
}

int dockerconfig_put(struct dockerconfig *config, const char *domain, const struct credential *credential,
		     struct annex_error **err)
{
	json_t *auths = make_auths(config);
	const char *servers[DOCKERCONFIG_SERVERS];
	auto_json json_t *entry = NULL;
	bool removed, changed;

	if (credential && credential->username && strchr(credential->username, ':'))
		return fail(err, ANNEX_ERROR_USAGE, "a user name can't have a colon");
	dockerconfig_servers(servers, config, domain);
	if (!auths)
		return fail_memory(err);
	if (remove_others(auths, domain, servers[0], &removed, &changed, err) < 0 ||
	    encode_entry(&entry, credential, err) < 0)
		return -1;
	return json_object_set_new(auths, servers[0], TAKE(entry)) < 0 ? fail_memory(err) : 0;
}

int dockerconfig_remove(struct dockerconfig *config, const char *domain, bool *ret_removed, bool *ret_changed,
			struct annex_error **err)
{
	return remove_others(json_object_get(config->root, "auths"), domain, NULL, ret_removed, ret_changed, err);
}

int dockerconfig_write(struct dockerconfig *config, struct annex_error **err)
{
	auto_secret char *text = json_text(config->root, true);
	struct stat st;
	int result;

	if (!text)
		return fail_memory(err);
	/* Its mode is taken over below. */
	if (stat(config->path, &st) == 0 && (st.st_mode & 077) && chmod(config->path, st.st_mode & 0700) < 0)
		return fail_os(err, errno, "cannot make %s readable for its owner only", config->path);
	result = file_replace(AT_FDCWD, config->path, text, strlen(text), 0600);
	return result < 0 ? fail_os(err, result, "cannot write %s", config->path) : 0;
}
