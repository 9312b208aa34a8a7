/* The peer of tools/bench-db: an application's clients, each a thread, that share a pool of connections to PostgreSQL and
 * send prepared single-row statements, one at a time.
 *
 *     bench_pool CONNINFO CLIENTS CONNECTIONS SECONDS ROWS      prints the statements per second */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CONNECTIONS_MAX = 64, CLIENTS_MAX = 1024 };

static struct pool {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    PGconn *free[CONNECTIONS_MAX];
    int nfree;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .returned = PTHREAD_COND_INITIALIZER};

static int rows;
static struct timespec end;

static PGconn *borrow(void) {
    pthread_mutex_lock(&pool.lock);
    while (pool.nfree == 0)
        pthread_cond_wait(&pool.returned, &pool.lock);
    PGconn *db = pool.free[--pool.nfree];
    pthread_mutex_unlock(&pool.lock);
    return db;
}

static void give_back(PGconn *db) {
    pthread_mutex_lock(&pool.lock);
    pool.free[pool.nfree++] = db;
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_signal(&pool.returned);
}

static int is_over(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec);
}

static void *client(void *arg) {
    unsigned seed = (unsigned)(size_t)arg;
    size_t n = 0;
    char key[16];
    const char *const values[] = {key};
    while (!is_over()) {
        snprintf(key, sizeof key, "%d", 1 + (int)((unsigned)rand_r(&seed) % (unsigned)rows));
        PGconn *db = borrow();
        PGresult *result = PQexecPrepared(db, "one", 1, values, NULL, NULL, 0);
        give_back(db);
        if (PQntuples(result) != 1) {
            fprintf(stderr, "bench_pool: %s", PQresultErrorMessage(result));
            exit(1);
        }
        PQclear(result);
        n++;
    }
    return (void *)n;
}

int main(int argc, char **argv) {
    pthread_t threads[CLIENTS_MAX];
    if (argc != 6)
        return 2;
    int clients = (int)strtol(argv[2], NULL, 10), connections = (int)strtol(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    rows = (int)strtol(argv[5], NULL, 10);
    if (clients < 1 || clients > CLIENTS_MAX || connections < 1 || connections > CONNECTIONS_MAX || rows < 1)
        return 2;
    for (int i = 0; i < connections; i++) {
        PGconn *db = PQconnectdb(argv[1]);
        PQclear(PQprepare(db, "one", "SELECT id, name, n FROM bench WHERE id = $1", 1, NULL));
        if (PQstatus(db) != CONNECTION_OK) {
            fprintf(stderr, "bench_pool: %s", PQerrorMessage(db));
            return 1;
        }
        pool.free[pool.nfree++] = db;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)(seconds * 1e9) % 1000000000L;
    end.tv_sec += (time_t)seconds + end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    size_t total = 0;
    for (int i = 0; i < clients; i++)
        if (pthread_create(&threads[i], NULL, client, (void *)(size_t)(i + 1)) != 0)
            return 1;
    for (int i = 0; i < clients; i++) {
        void *n;
        pthread_join(threads[i], &n);
        total += (size_t)n;
    }
    printf("%.1f\n", (double)total / seconds);
    return 0;
}
