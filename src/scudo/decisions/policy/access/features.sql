-- Features of the access policy: what persons do beside paying. Payments do not count here,
-- and nothing of this counts among payments: the two policies have a state each.
--
-- A window counts the event itself unless it says EXCLUDE CURRENT ROW; what is known only
-- after a decision (approved, declined) can be asked of earlier events only. Approved are
-- allow and review, declined are decline and block; who was held or stepped up is neither,
-- and comes again when the obligation is met. At gate 17 the customer is an operator.
--
-- Gates: 11 onboarding, 12 log-in, 13 new device, 14 beneficiary, 15 recovery, 16 change of a
-- limit, 17 operator's act, 18 a proof of who it is that did not hold (its customer is 0 where
-- the name is nobody's), which makes nothing known, 19 a sensitive act in a session: 1 pays,
-- 2 adds a passkey, 3 removes one, 4 sets the password, 5 adds an authenticator; 6 stands for a
-- hundred reads of the customer's own data.
SELECT
  -- The person: what is usual
  COUNT(*) FILTER (WHERE gate = 12) OVER person_1h AS logins_1h,
  COUNT(*) FILTER (WHERE gate = 12 AND approved) OVER person_30d AS logins_30d,
  LEAST(COUNT(DISTINCT ip) FILTER (WHERE gate = 12) OVER person_24h, 8) AS networks_24h,
  LEAST(COUNT(DISTINCT device) FILTER (WHERE gate = 12) OVER person_24h, 8) AS devices_24h,
  ordered_at - MAX(ordered_at) FILTER (WHERE gate = 12 AND approved)
    OVER person_ever AS since_login,
  ARG_MAX(country, ordered_at)
    FILTER (WHERE gate IN (12, 19) AND approved AND country IS NOT NULL)
    OVER person_ever AS latest_country,
  ordered_at - MAX(ordered_at)
    FILTER (WHERE gate IN (12, 19) AND approved AND country IS NOT NULL)
    OVER person_ever AS since_country,

  COUNT(*) FILTER (WHERE gate = 18) OVER person_1h AS failures_1h,

  -- The person: what changes who may do what
  COUNT(*) FILTER (WHERE gate = 13 AND approved) OVER person_7d_before AS devices_added_7d,
  COUNT(*) FILTER (WHERE gate = 14) OVER person_24h AS beneficiaries_24h,
  COUNT(*) FILTER (WHERE gate = 15) OVER person_7d AS recoveries_7d,
  ordered_at - MAX(ordered_at) FILTER (WHERE gate = 15 AND approved)
    OVER person_ever AS since_recovery,
  COUNT(*) FILTER (WHERE gate = 16) OVER person_24h AS limit_changes_24h,
  COUNT(*) FILTER (WHERE gate = 17) OVER person_1h AS acts_1h,
  COUNT(*) FILTER (WHERE gate = 17 AND approved) OVER person_30d AS acts_30d,

  -- The person: what is usual in sessions; hours are UTC
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved) OVER person_30d AS own_acts_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 0 AND 3)
    OVER person_30d AS acts_at_00_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 4 AND 7)
    OVER person_30d AS acts_at_04_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 8 AND 11)
    OVER person_30d AS acts_at_08_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 12 AND 15)
    OVER person_30d AS acts_at_12_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 16 AND 19)
    OVER person_30d AS acts_at_16_30d,
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6 AND approved AND hour BETWEEN 20 AND 23)
    OVER person_30d AS acts_at_20_30d,
  ordered_at - MIN(ordered_at) FILTER (WHERE gate = 19 AND approved)
    OVER person_act_ever AS act_known,

  -- The session
  COUNT(*) FILTER (WHERE gate = 19 AND act <> 6) OVER session_10m AS session_acts_10m,
  COUNT(*) FILTER (WHERE gate = 19 AND act = 6) OVER session_10m AS session_reads_10m,
  ordered_at - MIN(ordered_at) FILTER (WHERE gate = 19 AND act <> 6)
    OVER session_ever AS since_first_act,

  -- The device
  LEAST(COUNT(DISTINCT customer) OVER device_1h, 8) AS device_persons_1h,
  COUNT(*) FILTER (WHERE declined) OVER device_1h_before AS device_refused_1h,
  COUNT(*) FILTER (WHERE gate = 18) OVER device_1h AS device_failures_1h,
  COUNT(*) FILTER (WHERE gate = 11) OVER device_24h AS device_onboardings_24h,
  ordered_at - MIN(ordered_at) FILTER (WHERE approved AND gate <> 18)
    OVER person_device_ever AS device_known,

  -- The internet address
  LEAST(COUNT(DISTINCT customer) FILTER (WHERE gate <> 11) OVER ip_1h, 24) AS network_persons_1h,
  COUNT(*) FILTER (WHERE gate = 11) OVER ip_24h AS network_onboardings_24h,
  COUNT(*) FILTER (WHERE gate = 18) OVER ip_1h AS network_failures_1h,
  ordered_at - MIN(ordered_at) FILTER (WHERE approved AND gate <> 18)
    OVER person_ip_ever AS network_known
FROM gate_event
WINDOW
  person_1h AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  person_24h AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  person_7d AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 7 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW),
  person_7d_before AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 7 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  person_30d AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 30 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  person_ever AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  person_act_ever AS (
    PARTITION BY customer, act ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  session_10m AS (
    PARTITION BY session ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 10 MINUTES PRECEDING AND CURRENT ROW),
  session_ever AS (
    PARTITION BY session ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  device_1h AS (
    PARTITION BY device ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  device_1h_before AS (
    PARTITION BY device ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  device_24h AS (
    PARTITION BY device ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  person_device_ever AS (
    PARTITION BY customer, device ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  ip_1h AS (
    PARTITION BY ip ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  ip_24h AS (
    PARTITION BY ip ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  person_ip_ever AS (
    PARTITION BY customer, ip ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW)
