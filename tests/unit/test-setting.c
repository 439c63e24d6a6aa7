#include "test.h"

#include "machine/setting.h"
#include "machine/volume.h"

#include <stdio.h>
#include <string.h>

static void each_key_is_checked_and_kept(void **state)
{
	static const char *const pairs[] = {
		"cpus=3",       "memory=2g",          "disk=10G",          "env=A=1",   "env=B=x=y",    "env=A=2",
		"init=builtin", "kernel=6.1.0-cloud", "virtualization=on", "accel=tcg", "network=none", "service=true"};
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_error struct annex_error *err = NULL;
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, &err), 0);
	for (size_t i = 0; i < COUNT_OF(pairs); i++)
		assert_int_equal(settings_apply(&settings, pairs[i], &err), 0);
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", &err), 0);
	assert_int_equal(again.cpus, 3);
	assert_true(again.memory == 2ull << 30 && again.disk == 10ull << 30);
	assert_int_equal(again.environment.count, 2);
	assert_string_equal(again.environment.items[0], "B=x=y");
	assert_string_equal(again.environment.items[1], "A=2");
	assert_string_equal(again.init, "builtin");
	assert_true(again.virtualization && again.service);
	assert_string_equal(again.network, "none");
	assert_int_equal(settings_apply(&again, "env=-B", &err), 0);
	assert_int_equal(again.environment.count, 1);
}

static void a_bad_value_says_why_and_changes_nothing(void **state)
{
	static const char *const pairs[] = {
		"cpus=0",         "cpus=x", "cpus=",        "memory=1k",   "memory=lots",          "disk=1M",
		"env=novalue",    "env==x", "init=systemd", "kernel=",     "virtualization=maybe", "accel=hvf",
		"network=My Net", "memory", "=x",           "colour=blue", "service=nginx"};
	auto_settings struct machine_settings settings = {0};
	auto_json json_t *before = NULL, *after = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	before = settings_encode(&settings);
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		auto_error struct annex_error *err = NULL;

		assert_int_equal(settings_apply(&settings, pairs[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	}
	after = settings_encode(&settings);
	assert_true(json_equal(before, after));
}

static void what_it_may_reach_is_kept_in_one_spelling_and_order(void **state)
{
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_json json_t *encoded = NULL, *odd = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_string_equal(settings.host_access, "on");
	assert_string_equal(settings.ca, "on");
	assert_int_equal(settings_apply(&settings, "network=passt", NULL), 0);
	assert_int_equal(settings_apply(&settings, "network=lab", NULL), 0);
	assert_int_equal(settings_apply(&settings, "allow=Deb.Debian.org:443", NULL), 0);
	assert_int_equal(settings_apply(&settings, "allow=192.0.2.0/24", NULL), 0);
	assert_int_equal(settings_apply(&settings, "allow=deb.debian.org:443", NULL), 0);
	assert_int_equal(settings.allow.count, 2);
	assert_string_equal(settings.allow.items[0], "192.0.2.0/24");
	assert_string_equal(settings.allow.items[1], "deb.debian.org:443");
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", NULL), 0);
	assert_int_equal(again.allow.count, 2);
	assert_int_equal(settings_apply(&again, "allow=-192.0.2.0/24", NULL), 0);
	assert_int_equal(settings_apply(&again, "allow=-192.0.2.0/24", NULL), -1);
	assert_int_equal(again.allow.count, 1);
	assert_int_equal(settings_apply(&again, "allow=-", NULL), 0);
	assert_int_equal(again.allow.count, 0);
	/* What a word that isn't understood would allow, nobody knows. */
	odd = json_deep_copy(encoded);
	json_object_set_new(odd, "allow", json_pack("[s]", "anything goes"));
	assert_int_equal(settings_decode(&again, odd, "settings", NULL), -1);
	json_object_set_new(odd, "allow", json_array());
	json_object_set_new(odd, "host-access", json_string("perhaps"));
	assert_int_equal(settings_decode(&again, odd, "settings", NULL), -1);
}

static void isolation_overrules_what_is_kept(void **state)
{
	auto_settings struct machine_settings settings = {0};
	auto_json json_t *encoded = NULL, *isolated = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	encoded = settings_encode(&settings);
	settings_isolate(encoded);
	assert_string_equal(json_string_value(json_object_get(encoded, "home-mount")), "rw");
	assert_int_equal(settings_apply(&settings, "isolate=true", NULL), 0);
	isolated = settings_encode(&settings);
	settings_isolate(isolated);
	assert_string_equal(json_string_value(json_object_get(isolated, "home-mount")), "none");
	assert_string_equal(json_string_value(json_object_get(isolated, "ssh-agent")), "off");
	assert_string_equal(json_string_value(json_object_get(isolated, "host-access")), "off");
	assert_string_equal(settings.home_mount, "rw");
}

static void an_unknown_key_lists_the_valid_ones(void **state)
{
	auto_settings struct machine_settings settings = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_int_equal(settings_apply(&settings, "colour=blue", &err), -1);
	for (size_t i = 0; setting_key(i); i++)
		assert_non_null(strstr(annex_error_hint(err), setting_key(i)));
}

static int apply(struct machine_settings *settings, const char *pair)
{
	auto_error struct annex_error *err = NULL;

	return settings_apply(settings, pair, &err) == 0 ? 0 : (int)annex_error_kind(err);
}

static bool has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

static void volumes_are_in_the_order_of_their_places(void **state)
{
	static const char *const sorted[] = {"/z:/a", "/:/a/b:ro", "/b:/c/:/ab", "/y:/b"};
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	for (size_t i = COUNT_OF(sorted); i > 0; i--) {
		auto_free char *pair = NULL;

		assert_true(asprintf(&pair, "volume=%s", sorted[i - 1]) > 0);
		assert_int_equal(apply(&settings, pair), 0);
	}
	encoded = settings_encode(&settings);
	json_array_insert(json_object_get(encoded, "volume"), 0, json_array_get(json_object_get(encoded, "volume"), 3));
	json_array_remove(json_object_get(encoded, "volume"), 4);
	assert_int_equal(settings_decode(&again, encoded, "settings", NULL), 0);
	assert_int_equal(again.volumes.count, COUNT_OF(sorted));
	for (size_t i = 0; i < COUNT_OF(sorted); i++) {
		assert_string_equal(again.volumes.items[i], settings.volumes.items[i]);
		assert_int_equal(volume_compare(again.volumes.items[i], sorted[i]), 0);
	}
}

static void a_volume_takes_the_place_of_the_one_at_the_same_place(void **state)
{
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_int_equal(apply(&settings, "volume=/a//:/x"), 0);
	assert_int_equal(apply(&settings, "volume=/b:/y:ro"), 0);
	assert_int_equal(apply(&settings, "volume=/c:/x/:cache=none"), 0);
	assert_int_equal(settings.volumes.count, 2);
	assert_string_equal(settings.volumes.items[0], "/c:/x:cache=none");
	assert_int_equal(apply(&settings, "volume=-/z"), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(apply(&settings, "volume=-y"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&settings, "volume=/b"), ANNEX_ERROR_USAGE);
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", NULL), 0);
	assert_int_equal(apply(&again, "volume=-/x/."), 0);
	assert_int_equal(again.volumes.count, 1);
	assert_string_equal(again.volumes.items[0], "/b:/y:ro");
}

static void published_ports_are_added_replaced_and_removed(void **state)
{
	static const char *const sorted[] = {"0:80", "0.0.0.0:8080:80", "8080:81/udp", "[::1]:8080:80",
					     "9000-9009:1-10"};
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_int_equal(settings.publish.count, 0);
	assert_int_equal(apply(&settings, "publish=9000-9009:1-10/tcp"), 0);
	assert_int_equal(apply(&settings, "publish=127.0.0.1:8080:80/udp"), 0);
	assert_int_equal(apply(&settings, "publish=0.0.0.0:8080:80"), 0);
	assert_int_equal(apply(&settings, "publish=[::1]:8080:80"), 0);
	assert_int_equal(apply(&settings, "publish=:80"), 0);
	assert_int_equal(apply(&settings, "publish=0:80"), 0);
	assert_int_equal(apply(&settings, "publish=8080:81/udp"), 0);
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", NULL), 0);
	assert_int_equal(again.publish.count, COUNT_OF(sorted));
	for (size_t i = 0; i < COUNT_OF(sorted); i++)
		assert_string_equal(again.publish.items[i], sorted[i]);
	/* What would need a part of another's ports. */
	assert_int_equal(apply(&again, "publish=8080:80"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&again, "publish=9005:1"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&again, "publish=9005"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&again, "publish=http:80"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&again, "publish=1-1020"), ANNEX_ERROR_USAGE); /* too many, with the others */
	assert_int_equal(apply(&again, "publish=-9005"), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(apply(&again, "publish=-81"), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(apply(&again, "publish=-x"), ANNEX_ERROR_USAGE);
	assert_int_equal(again.publish.count, COUNT_OF(sorted));
	assert_int_equal(apply(&again, "publish=-8080/udp"), 0);
	assert_int_equal(again.publish.count, COUNT_OF(sorted) - 1);
	assert_int_equal(apply(&again, "publish=-8080"), 0); /* at each address */
	assert_int_equal(again.publish.count, 2);
	assert_int_equal(apply(&again, "publish=-:80"), 0);
	assert_int_equal(apply(&again, "publish=-9000-9009"), 0);
	assert_int_equal(again.publish.count, 0);
}

static void masks_are_added_and_removed(void **state)
{
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_json json_t *encoded = NULL;
	size_t count;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	count = settings.masks.count;
	assert_int_equal(apply(&settings, "mask=~/web//keys/"), 0);
	assert_int_equal(apply(&settings, "mask=web/keys"), 0);
	assert_int_equal(settings.masks.count, count + 1);
	assert_string_equal(settings.masks.items[count], "web/keys");
	assert_int_equal(apply(&settings, "mask=-.aws"), 0);
	assert_int_equal(apply(&settings, "mask=.aws"), 0);
	for (size_t i = 0; i < count; i++)
		assert_true(strcmp(settings.masks.items[i], settings.masks.items[i + 1]) < 0);
	assert_int_equal(apply(&settings, "mask=-~/.ssh"), 0);
	assert_int_equal(apply(&settings, "mask=-.ssh"), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(apply(&settings, "mask=/etc"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&settings, "mask="), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&settings, "mask=-"), ANNEX_ERROR_USAGE);
	while (settings.masks.count > 0) {
		auto_free char *pair = NULL;

		assert_true(asprintf(&pair, "mask=-%s", settings.masks.items[0]) > 0);
		assert_int_equal(apply(&settings, pair), 0);
	}
	/* None is not the same as not said. */
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", NULL), 0);
	assert_int_equal(again.masks.count, 0);
}

static void lists_have_an_end(void **state)
{
	auto_settings struct machine_settings settings = {0};

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	for (unsigned i = 0; i <= SETTING_VOLUMES_MAX; i++) {
		auto_free char *pair = NULL;

		assert_true(asprintf(&pair, "volume=/a:/x/%u", i) > 0);
		assert_int_equal(apply(&settings, pair), i < SETTING_VOLUMES_MAX ? 0 : ANNEX_ERROR_USAGE);
	}
	assert_int_equal(apply(&settings, "volume=/b:/x/0"), 0);
	for (unsigned i = (unsigned)settings.masks.count; i <= SETTING_MASKS_MAX; i++) {
		auto_free char *pair = NULL;

		assert_true(asprintf(&pair, "mask=x/%u", i) > 0);
		assert_int_equal(apply(&settings, pair), i < SETTING_MASKS_MAX ? 0 : ANNEX_ERROR_USAGE);
	}
	assert_int_equal(apply(&settings, "mask=.ssh"), 0);
}

static void the_home_is_there_without_secrets_unless_told_otherwise(void **state)
{
	auto_settings struct machine_settings settings = {0}, old = {0};
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_string_equal(settings.home_mount, "rw");
	assert_string_equal(settings.home_target, "");
	assert_true(has(&settings.masks, ".ssh") && has(&settings.masks, ".config/gh"));
	assert_false(has(&settings.masks, ".gitconfig"));
	encoded = settings_encode(&settings);
	for (const char *const *key =
		     (const char *const[]){"home-mount", "home-target", "volume", "mask", "ssh-agent", "publish", NULL};
	     *key; key++)
		assert_int_equal(json_object_del(encoded, *key), 0);
	/* As an annex without these settings wrote it. */
	assert_int_equal(settings_decode(&old, encoded, "settings", NULL), 0);
	assert_string_equal(old.home_mount, "rw");
	assert_string_equal(old.home_target, "");
	assert_string_equal(old.ssh_agent, "on");
	assert_int_equal(old.masks.count, settings.masks.count);
	assert_int_equal(apply(&old, "home-mount=ro"), 0);
	assert_int_equal(apply(&old, "home-mount=yes"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&old, "home-target=/h//x/"), 0);
	assert_string_equal(old.home_target, "/h/x");
	assert_int_equal(apply(&old, "home-target=h"), ANNEX_ERROR_USAGE);
	assert_int_equal(apply(&old, "home-target=/tmp/x"), ANNEX_ERROR_USAGE);
	assert_string_equal(old.home_target, "/h/x");
	assert_int_equal(apply(&old, "home-target="), 0);
	assert_string_equal(old.home_target, "");
}

/* A record that was changed by hand does not give more than it says. */
static void a_record_that_does_not_make_sense_is_corrupt(void **state)
{
	static const char *const wrong[][2] = {
		{"home-mount", "\"no\""},
		{"ssh-agent", "\"ask\""},
		{"home-target", "\"/proc\""},
		{"home-target", "\"home\""},
		{"volume", "[\"/a\"]"},
		{"volume", "[\"/a:/b\", \"a:/c\"]"},
		{"mask", "[\"../x\"]"},
		{"mask", "[\".ssh\", \"\"]"},
		{"mask", "[\"/home\"]"},
		{"publish", "[\"x\"]"},
		{"publish", "[\"80:80\", \"80:81\"]"},
		{"publish", "[\"80:80\", \"0.0.0.0:80:80\"]"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_settings struct machine_settings settings = {0}, again = {0};
		auto_error struct annex_error *err = NULL;
		auto_json json_t *encoded = NULL;

		assert_int_equal(settings_default(&settings, NULL), 0);
		encoded = settings_encode(&settings);
		json_object_set_new(encoded, wrong[i][0], json_loads(wrong[i][1], JSON_DECODE_ANY, NULL));
		assert_int_equal(settings_decode(&again, encoded, "machine.json", &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_is_checked_and_kept),
		cmocka_unit_test(a_bad_value_says_why_and_changes_nothing),
		cmocka_unit_test(what_it_may_reach_is_kept_in_one_spelling_and_order),
		cmocka_unit_test(isolation_overrules_what_is_kept),
		cmocka_unit_test(an_unknown_key_lists_the_valid_ones),
		cmocka_unit_test(a_volume_takes_the_place_of_the_one_at_the_same_place),
		cmocka_unit_test(volumes_are_in_the_order_of_their_places),
		cmocka_unit_test(published_ports_are_added_replaced_and_removed),
		cmocka_unit_test(masks_are_added_and_removed),
		cmocka_unit_test(lists_have_an_end),
		cmocka_unit_test(the_home_is_there_without_secrets_unless_told_otherwise),
		cmocka_unit_test(a_record_that_does_not_make_sense_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
