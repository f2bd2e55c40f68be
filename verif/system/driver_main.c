/* What verif/system/test_driver.py has the driver of docs/soc-integration.md do. Accesses, and "= name value" lines, go to standard output;
   answers come from standard input. Arguments: the load file, the same with a need that the machine does not meet, a token that the model
   has not, "reload" or "". */

#include <string.h>

static uint8_t *contents(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    if (fread(bytes, 1, *size, file) != *size)
        exit(3);
    fclose(file);
    return bytes;
}

static void say(const char *name, uint32_t value) { printf("= %s %u\n", name, value); }
static void take(uint32_t token) { say("token", token); }
static void reason(void) { say("reason", hayate_reason()); }

/* Tokens as they come, until the generation has ended: by its interrupts alone. */
static void run(const struct hayate_file *file, const struct hayate_request *request)
{
    uint32_t flags = 0;
    say("start", hayate_start(file, request));
    say("busy", hayate_start(file, request));
    while (!(flags & HAYATE_IRQ_STATUS_DONE_MASK) && bridge_irq())
        flags |= hayate_interrupt(take);
    say("flags", flags);
}

int main(int count, char **arguments)
{
    static const uint32_t prompt[] = {PROMPT};
    const uint32_t wrong[] = {PROMPT, (uint32_t)atoi(arguments[3])};
    const uint32_t length = sizeof prompt / sizeof *prompt;
    const struct hayate_request good = {prompt, length, TOKENS, HAYATE_WATCHDOG_VALUE};
    struct hayate_request other = good;
    struct hayate_file file, deep;
    size_t size, deep_size;
    uint8_t *bytes = contents(arguments[1], &size), *deep_bytes = contents(arguments[2], &deep_size);
    uint32_t cause, value;
    if (count != 5)
        return 2;

    say("open deep", hayate_open(deep_bytes, deep_size, &deep));
    say("probe deep", hayate_probe(&deep));
    bytes[size - 20] ^= 1;
    say("open damaged", hayate_open(bytes, size, &file));
    bytes[size - 20] ^= 1;
    say("open short", hayate_open(bytes, size - 16, &file));
    say("open", hayate_open(bytes, size, &file));
    say("probe", hayate_probe(&file));

    say("start unloaded", hayate_start(&file, &good));
    reason();
    say("load", hayate_load(&file));
    other.prompt = wrong, other.length = length + 1;
    say("start wrong", hayate_start(&file, &other));
    reason();
    other = good, other.limit = 0;
    say("start nothing", hayate_start(&file, &other));
    say("rejection", HAYATE_READ32(HAYATE_REJECTION));
    run(&file, &good);
    say("counter", hayate_counter(0, HAYATE_COUNTER_USEFUL_WEIGHT, &value));
    say("useful", value > 0);
    say("format", hayate_format(0));
    say("pin", hayate_pin(0, 0));
    say("pin", hayate_pin(0, 9)); /* there is no such format */
    say("start", hayate_start(&file, &good));
    reason();
    reason();

    other = good, other.limit = 60000;
    say("start", hayate_start(&file, &other));
    say("abort", hayate_abort());
    run(&file, &good);

    other = good, other.watchdog = 40;
    run(&file, &other);
    say("start faulty", hayate_start(&file, &good));
    reason();
    say("recover", hayate_recover(&file, &cause));
    say("cause", cause);
    run(&file, &good);

    if (!strcmp(arguments[4], "reload")) { /* a load that was begun and left */
        load(wide(file.records), wide(file.records + 8));
        say("recover", hayate_recover(&file, &cause));
        say("cause", cause);
        run(&file, &good);
    }
    say("end", 0);
    return 0;
}
