/* SPDX-License-Identifier: PostgreSQL */
/*
 * Build-time program, not installed: writes C source with the bytes of the files that it is given,
 * as the table that assets.h declares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_LINE 20

static const char *type_of(const char *name)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {
		{ ".css", "text/css; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t length = strlen(name), suffix = strlen(types[i].suffix);

		if (length > suffix && strcmp(name + length - suffix, types[i].suffix) == 0)
			return types[i].type;
	}
	fprintf(stderr, "embed: %s: of no known type\n", name);
	exit(1);
}

static void print_bytes(const char *path, int number)
{
	FILE *file = fopen(path, "rb");
	int byte, column = 0;

	if (!file) {
		perror(path);
		exit(1);
	}
	printf("static const char bytes_%d[] = {", number);
	while ((byte = getc(file)) != EOF)
		printf("%s%d,", column++ % PER_LINE ? "" : "\n\t", (signed char)byte);
	puts("\n};\n");
	fclose(file);
}

int main(int argc, char **argv)
{
	puts("#include \"web/assets.h\"\n");
	for (int i = 1; i < argc; i++)
		print_bytes(argv[i], i);
	puts("const struct tine_asset tine_assets[] = {");
	for (int i = 1; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/'), *name = slash ? slash + 1 : argv[i];

		printf("\t{ \"/%s\", \"%s\", bytes_%d, sizeof(bytes_%d) },\n", name, type_of(name),
		       i, i);
	}
	printf("};\nconst size_t tine_assets_count = %d;\n", argc - 1);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
