#include "registry/certificate.h"

#include "base/file.h"
#include "registry/place.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

void certificates_clear(struct certificates *certificates)
{
	text_list_clear(&certificates->authorities);
	free(certificates->client);
	free(certificates->key);
	*certificates = (struct certificates){0};
}

/* "FOLDER/NAME.key" for "NAME.cert", and the other way round. NULL: out of memory. */
static char *partner(const char *folder, const char *name, const char *suffix)
{
	char *made;
	const char *dot = strrchr(name, '.');

	return asprintf(&made, "%s/%.*s%s", folder, (int)(dot - name), name, suffix) < 0 ? NULL : made;
}

static int add_client(struct certificates *into, const char *folder, const char *name, const char *path,
		      struct annex_error **err)
{
	auto_free char *key = partner(folder, name, ".key");

	if (!key)
		return fail_memory(err);
	if (access(key, R_OK) < 0 && errno == ENOENT)
		return fail(err, ANNEX_ERROR_USAGE, "certificate %s has no key: %s does not exist", path, key);
	if (access(key, R_OK) < 0)
		return fail_os(err, errno, "cannot read %s", key);
	if (into->client)
		return fail(err, ANNEX_ERROR_USAGE, "folder %s has more than one client certificate: %s, %s", folder,
			    path_name(into->client), name);
	into->client = strdup(path);
	into->key = TAKE(key);
	return into->client ? 0 : fail_memory(err);
}

static int add(struct certificates *into, const char *folder, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(folder, name), *certificate = NULL;

	if (!path)
		return fail_memory(err);
	if (text_ends(name, ".key")) {
		certificate = partner(folder, name, ".cert");
		if (!certificate)
			return fail_memory(err);
		if (access(certificate, F_OK) < 0)
			return fail(err, ANNEX_ERROR_USAGE, "key %s has no certificate: %s does not exist", path,
				    certificate);
		return 0;
	}
	if (access(path, R_OK) < 0)
		return fail_os(err, errno, "cannot read %s", path);
	if (text_ends(name, ".cert"))
		return add_client(into, folder, name, path, err);
	return text_list_add_owned(&into->authorities, TAKE(path)) < 0 ? fail_memory(err) : 0;
}

static int is_ours(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && (text_ends(entry->d_name, ".crt") || text_ends(entry->d_name, ".cert") ||
					   text_ends(entry->d_name, ".key"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* 1: that was it; 0: there is no such folder, or it is not for us. */
static int read_folder(struct certificates *into, const char *folder, struct annex_error **err)
{
	struct dirent **names = NULL;
	int count = scandir(folder, &names, is_ours, by_name), result = 1;

	if (count < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			       ? 0
			       : fail_os(err, errno, "cannot read folder %s", folder);
	if (count > (int)CERTIFICATE_FILE_LIMIT)
		result = fail(err, ANNEX_ERROR_USAGE, "folder %s has more than %u certificates", folder,
			      CERTIFICATE_FILE_LIMIT);
	for (int i = 0; i < count; i++) {
		if (result > 0 && add(into, folder, names[i]->d_name, err) < 0)
			result = -1;
		free(names[i]);
	}
	free(names);
	return result;
}

static int read_host(struct certificates *into, const char *certs, const char *host, struct annex_error **err)
{
	auto_free char *folder = path_join(certs, host);

	return folder ? read_folder(into, folder, err) : fail_memory(err);
}

int certificates_find(struct certificates *ret, const char *domain, struct annex_error **err)
{
	auto_certificates struct certificates made = {0};
	auto_free char *user = NULL;
	const char *places[3];
	int result = place_config(&user, "containers/certs.d");

	if (result == -ENOMEM)
		return fail_memory(err);
	places[0] = result < 0 ? NULL : user;
	places[1] = "/etc/containers/certs.d";
	places[2] = "/etc/docker/certs.d";
	result = 0;
	for (size_t i = 0; i < COUNT_OF(places) && result == 0; i++)
		result = places[i] ? read_host(&made, places[i], domain, err) : 0;
	if (result < 0)
		return -1;
	*ret = made;
	made = (struct certificates){0};
	return 0;
}
