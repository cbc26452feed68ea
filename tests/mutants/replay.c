/* SPDX-License-Identifier: MIT */
/*
 * A fuzzer without its engine: the inputs of tests/fuzz/corpus, once each, by a program
 * that any compiler builds. For `make mutants`: what was once found must stay found.
 *
 *	replay FILE...
 */
#include "tests/fuzz/fuzz.h"

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes;
	long n;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
		perror(path);
		return 1;
	}
	bytes = malloc((size_t)n + !n);
	n = (long)fread(bytes, 1, (size_t)n, f);
	fclose(f);
	(void)LLVMFuzzerTestOneInput(bytes, (size_t)n);
	free(bytes);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	return failed;
}
