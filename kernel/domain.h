/* SPDX-License-Identifier: MIT */
/*
 * Domains and their vCPUs: the structures that kernel/ shares. Who owns what:
 *	domain.c  life of a domain: lists, pause, destroy in slices;  create.c  how one is made
 *	vcpu.c    states of a vCPU and the moves between them
 *	sched.c   which runnable vCPU runs where
 *	exit.c    what an exit means; hypercall.c and the hc_*.c files serve hypercalls
 *	evtchn.c  event channels, upcalls;  timer.c  one-shot timers, pvclock
 *	apic.c    the virtual local APIC;  interrupt.c  what is delivered before an entry
 *	vcpu_init.c  INIT and start-up IPIs
 *
 * The caller holds no lock unless a comment says otherwise; interrupts are off, as always
 * (machine.h). Times are nanoseconds of machine_ns(), memory is in pages unless a name
 * says MiB.
 */
#ifndef KERNEL_DOMAIN_H
#define KERNEL_DOMAIN_H

#include "arch/x86_64/guest/gva_memo.h"
#include "arch/x86_64/guest/vlapic.h"
#include "arch/x86_64/hvm.h"
#include "kernel/machine.h"
#include "mm/mm.h"
#include "mm/policy/reclaim.h"
#include "mm/sample.h"

#define MAX_DOMAINS     MM_MAX_SPACES
#define MAX_VCPUS       8u /* of one domain; 32 would fit shared_info's legacy array */
#define DOMAIN_NAME_LEN 32
#define MAX_EVTCHNS     128u /* ports of one domain; port 0 is never used */

enum vcpu_state {
	VCPU_DOWN,     /* not initialised, gone down by vcpu_op, or halted for good */
	VCPU_RUNNABLE, /* waits for a CPU, or runs on one */
	VCPU_BLOCKED,  /* waits for an event (sched_op block, poll, HLT) */
	VCPU_MEMORY,   /* waits for a frame; counts as runnable in runstate */
};

/* Guest memory that is written at any time: pinned, at most two pages. */
struct pinned_area {
	bool set, wide; /* wide: in the layout of a 64-bit caller */
	gfn_t gfn[2];
	uint8_t *page[2];
	uint32_t offset, bytes; /* first byte in page[0] */
};

#define VCPU_MEMOS 4u

struct vcpu {
	struct hvm_vcpu hv;
	struct domain *domain;
	mfn_t frame; /* where this structure lies */
	unsigned id;
	bool held;              /* a VCPUOP_initialise is under way; under sched lock */
	bool initialised;       /* has a first state: by the loader, VCPUOP_initialise or a SIPI */
	enum vcpu_state state;  /* under sched lock */
	bool running;           /* on a CPU now; under sched lock */
	unsigned cpu;           /* where it runs or ran last */
	bool in_queue, boosted; /* sched.c */
	struct vcpu *next;      /* run queue */
	bool yielded;           /* gave its CPU away: no claim to the rest of its slice */
	uint64_t slice_left_ns; /* in the queue: it was made to stand back with so much left */
	uint64_t vruntime_ns, slice_end_ns, queued_ns, longest_wait_ns, ran_ns, started_ns;

	/* waiting for memory (waiters.c), under sched lock */
	struct vcpu *next_waiter;
	uint64_t wait_ticket; /* place in the line, kept until it got its frame; 0 none */
	uint64_t wait_rip;    /* where the instruction is that drew it */
	uint64_t turn_ns;     /* when its turn came last */
	unsigned turns;       /* with this ticket */
	bool granted;         /* a frame is set aside for it */
	bool wants_copy;      /* of a shared page; else a page that was never its own to write to */
	bool waited;          /* or was paused, since the last pvclock update */
	uint64_t wait_began_ns, waits, waited_ns, longest_memory_ns;

	/* interrupts (interrupt.c, apic.c, vcpu_init.c): of the CPU on which it is loaded */
	struct vlapic apic;
	bool look;       /* something may have become deliverable: look before the next entry */
	bool offered;    /* the back end was asked for an interrupt window */
	bool halted;     /* in HLT: not entered before something was delivered */
	bool waits_sipi; /* since power-on or INIT: a start-up IPI is the only way on */

	/* events (evtchn.c) */
	uint8_t *info;  /* struct vcpu_info: in shared_info or registered; pinned */
	gfn_t info_gfn; /* pinned page of a registered vcpu_info */
	bool info_registered;
	uint8_t upcall_vector; /* through the local APIC; 0: the domain's callback instead */
	uint16_t virq_port[24];
	bool polling;   /* SCHEDOP_poll: these ports wake it, masked or not */
	bool poll_over; /* its time is up (timer.c) */
	uint64_t poll_ports[MAX_EVTCHNS / 64];

	/* time (timer.c) */
	uint64_t timer_ns; /* absolute, machine_ns; UINT64_MAX none */
	uint64_t poll_ns;  /* when SCHEDOP_poll gives up; UINT64_MAX never */
	uint64_t apic_ns;  /* when the local APIC's timer is at its end */
	struct vcpu *timer_next;
	bool timer_listed;
	unsigned runstate; /* RUNSTATE_* */
	uint64_t runstate_since_ns, runstate_ns[4];
	struct pinned_area runstate_area, time_area; /* copies for the guest to read */

	struct gva_memo memo[VCPU_MEMOS]; /* of arguments of hypercalls (guest_copy.c) */

	uint64_t exits[EXIT_KINDS];
	uint64_t exits_total;
	uint64_t hypercalls;
};

/* Pages of ours at fixed places of the guest's memory map (special.c). */
enum special_page { SPECIAL_ACPI, SPECIAL_STORE, SPECIAL_CONSOLE, SPECIAL_PAGES };
struct special {
	mfn_t frame;
	uint8_t *page; /* NULL: there is none */
	uint16_t port; /* event channel between the guest and us, 0 none; event_lock */
};

enum evtchn_state {
	EVTCHN_FREE,
	EVTCHN_UNBOUND,
	EVTCHN_INTERDOMAIN,
	EVTCHN_VIRQ,
	EVTCHN_IPI,
	EVTCHN_SERVICE, /* the other end is ours: .virq is an enum special_page */
};

struct xs_conn;
struct grants;

struct evtchn {
	enum evtchn_state state;
	uint8_t vcpu; /* that is notified */
	uint8_t virq;
	domid_t remote_domain;
	uint16_t remote_port;
};

enum shutdown_code { /* Xen's numbers */
	             SHUTDOWN_NONE = -1,
	             SHUTDOWN_POWEROFF_ = 0,
	             SHUTDOWN_REBOOT_ = 1,
	             SHUTDOWN_SUSPEND_ = 2,
	             SHUTDOWN_CRASH_ = 3,
};

/* What a config file or `create` says of one domain (kernel/config.c). */
struct domain_config {
	char name[DOMAIN_NAME_LEN];
	char kernel[64], ramdisk[64];             /* names of files in the bundle or of modules */
	char extra[256];                          /* the guest's command line */
	uint32_t memory_mib, maxmem_mib, min_mib; /* min: -1u = 25 % of memory */
	uint32_t shares; /* of memory, when there is not enough; 0: by its size */
	uint32_t vcpus, count;
	char share_group[DOMAIN_NAME_LEN]; /* "" = alone */
	bool superpages;                   /* populate with 2 MiB leaves at creation */
	bool paused;                       /* created, not started */
};

/* What reclaim.c knows of a domain; CPU 0. */
struct domain_reclaim {
	struct sampler sample;
	uint64_t period_ends_ns;
	uint64_t target, compress; /* pages, of the last round */
	uint64_t seen_pages;       /* it had so much memory in the last regular round */
	unsigned still;            /* and has not moved for so many, though it was asked to */
};

#define CONSOLE_LINE 200
struct domain {
	bool used, paused, dying;
	mfn_t frame; /* where this structure lies */
	domid_t id;
	char name[DOMAIN_NAME_LEN];
	struct space space;
	unsigned nr_vcpus;
	struct vcpu *vcpus[MAX_VCPUS];
	struct domain_config config;
	enum shutdown_code shutdown;
	_Atomic bool shutdown_told; /* and the log says so, with all that the guest printed */
	char crash_reason[120];
	uint64_t created_ns;
	unsigned reap_slices; /* of its destruction so far, and the longest */
	uint64_t reap_longest_ns;

	/* shared_info: a service frame */
	mfn_t shared_info_frame;
	gfn_t shared_info_gfn;
	bool shared_info_mapped;
	uint8_t *shared_info;
	struct spinlock shape_lock; /* the place of shared_info */
	struct special special[SPECIAL_PAGES];
	bool wide_info;             /* shared_info and vcpu_info in the 64-bit layout */
	bool runstate_flag;         /* vm_assist: XEN_RUNSTATE_UPDATE */
	struct spinlock event_lock; /* evtchn table; no lock of mm/ inside it */
	struct evtchn evtchn[MAX_EVTCHNS];
	uint8_t callback_vector; /* 0 none */
	uint64_t callback_param; /* as set, for get_param */

	/* what the operator wants of the guest, and since when (wish.c) */
	uint64_t target_pages, target_ns, shutdown_ns, sysrq_ns;
	uint64_t balloon_ns;  /* when its balloon moved last */
	uint64_t limit_pages; /* the operator's word on memory; reclaim may ask for less */
	uint32_t shares;
	struct domain_reclaim reclaim;
	uint32_t shutdown_request;
	uint16_t control_port; /* of hypercall 50: event channel told of changes */
	struct xs_conn *store; /* xenstore.c; NULL: none */
	struct grants *grants; /* grant_table.c; NULL: none yet; peer lock */

	/* the PV console's ring (console_ring.c): our indices, which the guest cannot reach */
	struct spinlock ring_lock; /* outside of console_lock only */
	uint32_t ring_out, ring_in;

	/* console output, one unfinished line (console.c) */
	struct spinlock console_lock; /* outside of the log's lock only */
	char line[CONSOLE_LINE];
	unsigned line_len, line_at;     /* its length, and where the next byte goes */
	unsigned escape, escape_number; /* inside an escape sequence */
	uint64_t log_budget, log_budget_ns;
	uint64_t log_dropped, log_dropped_all; /* bytes: since it was said, and ever */
};

/* ---- domain.c ----
 * A domain is made, destroyed and reaped on CPU 0 only. So a pointer to one is
 * good there from lookup to return, and elsewhere while one of its vCPUs runs
 * on that CPU; there is no reference count.
 */

/*
 * A CPU that works for one domain and needs another holds the peer lock: no domain is
 * delisted meanwhile. Outside of event_lock and of all locks of mm/.
 */
void domain_peers_lock(void);
void domain_peers_unlock(void);
void domain_enlist(struct domain *d); /* from now on it is found */
void domain_delist(struct domain *d); /* and no more; on return nobody has hold of it */

struct domain *domain_find(domid_t id);            /* NULL if none */
struct domain *domain_find_name(const char *name); /* by name, or by decimal id */
/* Calls f for each domain in id order. */
void domain_each(void (*f)(struct domain *d, void *arg), void *arg);

/* Its own structure, in no list, with nothing in it but its description; NULL: no memory. And gone. */
struct domain *domain_alloc(const struct domain_config *c, domid_t id);
void domain_free(struct domain *d); /* no vCPU and no space is left */
uint64_t domain_frames(void);       /* that it takes */

/* Begin to destroy; the memory goes back in slices (domain_reap). */
void domain_destroy(struct domain *d);
/* Do one slice of pending destruction; false if there is none. Called by idle and tick. */
bool domain_reap(void);

void domain_pause(struct domain *d); /* returns once none of its vCPUs is in guest mode */
void domain_unpause(struct domain *d);

/* The guest ended by its own word, or by its fault (code SHUTDOWN_CRASH_). */
void domain_shutdown(struct domain *d, enum shutdown_code code);
/* A guest's fault stops that guest: dump its vCPU and end it. printf-like reason.
 * v is loaded on this CPU. */
void domain_crash(struct vcpu *v, const char *fmt, ...) printf_like(2, 3);
const char *domain_shutdown_name(enum shutdown_code code); /* "poweroff", ... */

/* Is this guest's shared_info laid out for 64-bit code? As Xen, we take the word width of
 * the last vCPU that set up the hypercall page or the callback. */
void domain_latch_width(struct domain *d, bool wide);

/* ---- wish.c: what the operator wants of a guest; CPU 0 ---- */

enum domain_wish { WISH_MEMORY, WISH_SHUTDOWN, WISH_SYSRQ };

/* Each tells the guest, in every way that there is; whether it follows is its own affair. */
void domain_set_target(struct domain *d, uint64_t pages);
void domain_set_limit(struct domain *d, uint64_t pages);          /* the same, and it is the most */
void domain_request_shutdown(struct domain *d, uint32_t request); /* QUIRE_SHUTDOWN_* */
void domain_sysrq(struct domain *d, char letter);
bool domain_listens(struct domain *d, enum domain_wish wish); /* will it notice? */
/* True: it has not done what was asked of it, and text is a sentence about that; else "". */
bool domain_lags(struct domain *d, char *text, size_t bytes);

/* ---- vcpu.c ---- */
bool vcpu_create(struct domain *d, unsigned id) must_check; /* VCPU_DOWN; false: no memory */
void vcpu_destroy(struct vcpu *v);
void vcpu_start(struct vcpu *v);  /* DOWN -> RUNNABLE */
void vcpu_stop(struct vcpu *v);   /* any -> DOWN; it leaves guest mode soon */
void vcpu_wake(struct vcpu *v);   /* BLOCKED -> RUNNABLE; nothing otherwise */
void vcpu_notify(struct vcpu *v); /* wake it, or make it look at its events if it runs */
void vcpu_block(struct vcpu *v);  /* unless an event is pending; v runs here */
/* An event of the local APIC (VLAPIC_*) was posted that may bring it up: what waits_sipi or a HLT
 * with interrupts off left DOWN becomes RUNNABLE. And as vcpu_notify. */
void vcpu_signal(struct vcpu *v);
/* DOWN, unless one of these events was posted to its local APIC; v runs here. If it was the
 * last that was up, the domain ends. */
void vcpu_stop_unless(struct vcpu *v, uint32_t events);
void vcpu_gone(struct domain *d);      /* one of its vCPUs went DOWN: end with the last */
void vcpu_wait_memory(struct vcpu *v); /* right after the refusal, on the CPU that was refused */
/* v, which has a ticket, got on with something: if it is what it waited for, the next in line is woken. */
void vcpu_got_memory(struct vcpu *v);
void vcpu_wait_over(struct vcpu *v); /* it wants no more what it waited for */
/* The same, and it need not run again; the scheduler's lock is held. */
void vcpu_leave_line(struct vcpu *v);
void vcpu_wake_memory_waiters(void);     /* frames became free: serve the line */
bool vcpu_may_run(const struct vcpu *v); /* runnable, and so is its domain */

/* ---- sched.c ---- */
void sched_init(void);
void sched_run(void) noreturn_fn; /* the loop of each CPU */
/* Run `work` with every other CPU parked outside guest mode and outside mm/. */
void sched_stopped(void (*work)(void *arg), void *arg);
void sched_set_scan(bool on); /* scan in idle time and a little of busy time; on at start */
bool sched_scan_on(void);
/* Pages looked at in one slice of idle time, 1 to the maximum; a quarter of it in busy time. */
#define SCHED_SCAN_PAGES_MAX 4096u
void sched_set_scan_pages(unsigned pages);
/* CPUs before this one run no guests; false: there is no such CPU. After sched_init. */
bool sched_set_first_cpu(unsigned cpu) must_check;
/* Of one CPU's time, in 1/100000, while guests want it: the scanner takes no more (kernel/pace.h). */
void sched_set_scan_share(uint32_t share);
/* What it took in the time since then: of busy time no more than `share` and one piece of work. */
struct sched_scan_stats {
	uint32_t share;      /* in 1/100000 */
	uint64_t since_ns;   /* how long ago it was set */
	uint64_t busy_ns;    /* while guests wanted the CPU */
	uint64_t longest_ns; /* the longest piece of these */
	uint64_t idle_ns;    /* while nobody wanted it, on all CPUs */
};
struct sched_scan_stats sched_scan_stats(void);
/* CPU i ran guests for so long, was idle for so long; of all time since sched_init. */
struct sched_cpu_stats {
	uint64_t guest_ns, idle_ns, scan_ns, switches;
};
struct sched_cpu_stats sched_cpu_stats(unsigned cpu);

/* ---- exit.c ---- */
void exit_dispatch(struct vcpu *v, const struct vmexit *x);

/* ---- hypercall.c ---- */
void hypercall_dispatch(struct vcpu *v, const struct vmexit *x);

/* ---- evtchn.c ---- */
void evtchn_send_virq(struct vcpu *v, unsigned virq);
void evtchn_send_port(struct domain *d, unsigned port);
bool evtchn_pending(struct vcpu *v);    /* upcall pending */
bool evtchn_poll_ready(struct vcpu *v); /* that, or a port that SCHEDOP_poll waits for */
void evtchn_domain_init(struct domain *d);
/* Other domains may bind to its offers from now on; no longer, and what they bound is broken. */
void evtchn_peer_add(struct domain *d);
void evtchn_peer_remove(struct domain *d);

/* ---- interrupt.c ---- */
/* Before each entry: is there something to deliver or to withdraw? */
static inline bool interrupt_wants_look(const struct vcpu *v)
{
	return __atomic_load_n(v->info, __ATOMIC_SEQ_CST) || v->offered || v->look ||
	       vlapic_has_posts(&v->apic);
}
/* Deliver it. False: the vCPU is not to be entered (it halts, or waits for a start-up IPI). */
bool interrupt_deliver(struct vcpu *v) must_check;
/* For one that is about to sleep: does something wake it at once? */
bool interrupt_pending(struct vcpu *v);

/* ---- timer.c ---- */
void timer_init(void);
void timer_tick(void);        /* fire what is due on any vCPU; cheap when nothing is */
uint64_t timer_next_ns(void); /* earliest deadline of all, for machine_timer */
void timer_set(struct vcpu *v, uint64_t ns);
void pvclock_update(struct vcpu *v, bool waited);  /* fills vcpu_info.time */
void timer_set_poll(struct vcpu *v, uint64_t ns);  /* when SCHEDOP_poll ends by itself */
void timer_set_apic(struct vcpu *v, uint64_t ns);  /* when VLAPIC_TIMER is to be posted */
void timer_forget(struct vcpu *v);                 /* off the list: v is about to be freed */
void timer_wallclock(struct domain *d);            /* fills shared_info's wall clock */
void runstate_change(struct vcpu *v, unsigned to); /* under sched lock */
/* Tell the guest, where it asked for it; v runs here or nowhere. */
void runstate_publish(struct vcpu *v);
void runstate_copy(struct vcpu *v, bool wide, void *dst); /* struct vcpu_runstate_info */

/* ---- special.c ---- */
gfn_t special_gfn(enum special_page which);
/* A zeroed page at its place in the guest; NULL: no memory. While the domain is built. */
uint8_t *special_make(struct domain *d, enum special_page which) must_check;
/* The same, with an event channel to it; once there is a vCPU. */
bool special_make_ring(struct domain *d, enum special_page which) must_check;
bool special_make_acpi(struct domain *d) must_check; /* with the tables in it; nr_vcpus is set */
void special_free(struct domain *d); /* the space is gone: nobody maps them any more */

/* ---- create.c ---- */

#define CREATE_WHY 320u /* bytes of a sentence that says why a domain was not made */

/*
 * Build a domain from its description and start it (unless paused), in one go: for who has nothing
 * else to do (kernel/create.h has it in steps). On failure returns NULL, nothing is left behind but
 * what domain_reap takes down, and why holds a sentence.
 */
struct domain *domain_create(const struct domain_config *c, char *why, size_t why_bytes);

/* ---- console.c: what guests print ---- */
/* How many of these bytes to write at once: not more than a few lines. At least one, if n is. */
size_t console_chunk(const char *bytes, size_t n);
/* Bytes that the guest wrote, already copied; at most a few KiB a call. */
void console_write(struct domain *d, const char *bytes, size_t n);
/* Of CONSOLE_BURST bytes that it may print at once, so many are not there again yet. */
#define CONSOLE_BURST UINT64_C(65536)
uint64_t console_used(struct domain *d);
void console_flush(struct domain *d); /* the guest is at its end: show its unfinished line */
/* The unfinished line as it would be shown, with its prefix; returns where the cursor is. */
size_t console_partial(struct domain *d, char *text, size_t bytes);

/* ---- console_ring.c: xen/io/console.h ---- */
/* Take a little of what the guest wrote; true: there is more. */
bool console_ring_drain(struct domain *d);
/*
 * The operator's line is behind, so v must not print now (hc_console.c): let it make its call again. It has given
 * its CPU to whoever else wants it.
 */
bool console_must_wait(struct vcpu *v) must_check;
/* Give the guest what was typed; returns how many bytes its ring had room for. */
size_t console_ring_type(struct domain *d, const char *bytes, size_t n);

/* ---- bundle.c: files packed into the image (cpio newc) or given as modules ---- */
bool bundle_find(const char *name, const void **data, uint64_t *bytes);

/* ---- startup.c ---- */
struct boot_info;
/* Build every domain that the boot modules describe; tells what fails and goes on.
 * refused: why no guest can run here (hvm_choose), or NULL. CPU 0, before sched_run. */
void startup_domains(const struct boot_info *bi, const char *refused);
const char *startup_refused(void); /* that reason again, or NULL */

/* ---- monitor.c: the operator's prompt ---- */
/* One short turn; CPU 0, no lock held. True: there is more to do at once, if there is time. */
bool monitor_poll(void);

#endif
