-- +goose Up

-- What a list of decisions is narrowed by. All of them end in the id.
CREATE INDEX decisions_user ON decisions (user_id);
CREATE INDEX decisions_origin ON decisions (origin, mode);
CREATE INDEX decisions_policy ON decisions (policy, mode);
CREATE INDEX decisions_verdict ON decisions (verdict, mode);
CREATE INDEX decisions_at ON decisions (at);
-- They are few among many.
CREATE INDEX decisions_faults ON decisions (id) WHERE fault <> '';

-- How many decisions there were, by the minute (span 60) and by the hour (span 3600).
-- at is the span's start in seconds since the Unix epoch. took_* count how many took
-- that long or less, and longer than the one before: counts.go's latencyBounds.
CREATE TABLE decision_counts (
    span    INTEGER NOT NULL,
    at      BIGINT NOT NULL,
    mode    TEXT NOT NULL,
    phase   TEXT NOT NULL,
    verdict TEXT NOT NULL,
    policy  TEXT NOT NULL,
    faults  SMALLINT NOT NULL,
    number  BIGINT NOT NULL,
    took_0  BIGINT NOT NULL,
    took_1  BIGINT NOT NULL,
    took_2  BIGINT NOT NULL,
    took_3  BIGINT NOT NULL,
    took_4  BIGINT NOT NULL,
    took_5  BIGINT NOT NULL,
    took_6  BIGINT NOT NULL,
    took_7  BIGINT NOT NULL,
    took_8  BIGINT NOT NULL,
    took_9  BIGINT NOT NULL,
    took_10 BIGINT NOT NULL,
    took_11 BIGINT NOT NULL,
    took_12 BIGINT NOT NULL,
    PRIMARY KEY (span, at, mode, phase, verdict, policy, faults)
) WITHOUT ROWID;

-- How many decisions of an hour refused an origin; the origin is empty for those
-- beyond the first that an hour has place for.
CREATE TABLE refused_origins (
    hour   BIGINT NOT NULL,
    origin TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (hour, origin)
) WITHOUT ROWID;

-- What is stored already: hours of all, minutes of the last two days.
CREATE TEMP TABLE counted AS
    SELECT at / 60000000 * 60 AS at, mode, phase, verdict, policy, fault <> '' AS faults, origin,
        CASE mode WHEN 'monitor' THEN policies_us ELSE total_us END AS us
    FROM decisions;

INSERT INTO decision_counts
    SELECT span.s, at / span.s * span.s AS start, mode, phase, verdict, policy, faults, count(*),
        sum(us <= 500), sum(us > 500 AND us <= 1000), sum(us > 1000 AND us <= 2000), sum(us > 2000 AND us <= 5000),
        sum(us > 5000 AND us <= 10000), sum(us > 10000 AND us <= 20000), sum(us > 20000 AND us <= 50000),
        sum(us > 50000 AND us <= 100000), sum(us > 100000 AND us <= 200000), sum(us > 200000 AND us <= 500000),
        sum(us > 500000 AND us <= 1000000), sum(us > 1000000 AND us <= 5000000), sum(us > 5000000)
    FROM counted, (SELECT 60 AS s UNION ALL SELECT 3600) AS span
    WHERE span.s = 3600 OR at > (SELECT max(at) FROM counted) - 172800
    GROUP BY span.s, start, mode, phase, verdict, policy, faults;

INSERT INTO refused_origins
    SELECT hour, origin, number FROM (
        SELECT hour, origin, number, row_number() OVER (PARTITION BY hour ORDER BY number DESC, origin) AS place FROM (
            SELECT at / 3600 * 3600 AS hour, origin, count(*) AS number FROM counted
            WHERE mode = '' AND verdict <> 'allow' GROUP BY hour, origin))
    WHERE place <= 200;

INSERT INTO refused_origins
    SELECT hour, '', total - kept FROM (
        SELECT at / 3600 * 3600 AS hour, count(*) AS total,
            (SELECT sum(number) FROM refused_origins r WHERE r.hour = c.at / 3600 * 3600) AS kept
        FROM counted c WHERE mode = '' AND verdict <> 'allow' GROUP BY at / 3600)
    WHERE total > kept
    ON CONFLICT (hour, origin) DO UPDATE SET number = refused_origins.number + excluded.number;

DROP TABLE temp.counted;
