-- Features of the standard policy. Amounts are minor units of the event's own currency,
-- so whatever adds amounts is keyed by account or card, which have one currency.
--
-- A window counts the event itself unless it says EXCLUDE CURRENT ROW; what is known only
-- after a decision (approved, declined) can be asked of earlier events only. Approved are
-- allow and review, declined are decline and block; a held or stepped-up event is neither.
-- Channel 4 is a card that is present, so its place is the customer's place.
SELECT
  -- The customer
  COUNT(*) OVER customer_1h AS customer_count_1h,
  COUNT(*) OVER customer_24h AS customer_count_24h,
  LEAST(COUNT(DISTINCT ip) OVER customer_24h, 8) AS customer_ips_24h,

  -- The account: what is usual for it
  COUNT(*) FILTER (WHERE approved) OVER account_30d AS account_count_30d,
  MEAN(amount_minor) FILTER (WHERE approved) OVER account_30d AS account_mean_30d,
  MAX(amount_minor) FILTER (WHERE approved) OVER account_30d AS account_max_30d,
  COALESCE(SUM(amount_minor) FILTER (WHERE approved) OVER account_24h, 0) AS account_sum_24h,
  LEAST(COUNT(DISTINCT beneficiary) OVER account_24h_self, 10) AS account_beneficiaries_24h,
  COUNT(*) FILTER (WHERE declined) OVER account_1h AS account_declined_1h,
  ordered_at - MAX(ordered_at) OVER account_ever AS account_since_latest,

  -- The card
  COUNT(*) OVER card_10m_self AS card_count_10m,
  COUNT(*) FILTER (WHERE amount_minor < 200) OVER card_10m_self AS card_small_10m,
  COUNT(*) FILTER (WHERE declined) OVER card_10m AS card_declined_10m,
  LEAST(COUNT(DISTINCT merchant) OVER card_1h_self, 8) AS card_merchants_1h,
  COUNT(*) FILTER (WHERE approved AND amount_minor > 15000) OVER card_7d AS card_large_7d,
  ARG_MAX(latitude_e4, ordered_at)
    FILTER (WHERE channel = 4 AND latitude_e4 IS NOT NULL AND longitude_e4 IS NOT NULL)
    OVER card_ever AS card_latitude_e4,
  ARG_MAX(longitude_e4, ordered_at)
    FILTER (WHERE channel = 4 AND latitude_e4 IS NOT NULL AND longitude_e4 IS NOT NULL)
    OVER card_ever AS card_longitude_e4,
  ordered_at - MAX(ordered_at)
    FILTER (WHERE channel = 4 AND latitude_e4 IS NOT NULL AND longitude_e4 IS NOT NULL)
    OVER card_ever AS card_since_place,

  -- The device
  LEAST(COUNT(DISTINCT card) OVER device_1h, 8) AS device_cards_1h,
  LEAST(COUNT(DISTINCT customer) OVER device_7d, 8) AS device_customers_7d,
  ordered_at - MIN(ordered_at) OVER customer_device_ever AS customer_device_known,

  -- The internet address
  COUNT(*) FILTER (WHERE amount_minor < 200) OVER ip_1h AS ip_small_1h,
  LEAST(COUNT(DISTINCT customer) OVER ip_24h, 12) AS ip_customers_24h,

  -- The beneficiary
  LEAST(COUNT(DISTINCT customer) OVER beneficiary_24h, 10) AS beneficiary_payers_24h,
  ordered_at - MIN(ordered_at) FILTER (WHERE approved)
    OVER account_beneficiary_ever AS account_beneficiary_known,

  -- The merchant
  COUNT(*) OVER merchant_1h_self AS merchant_count_1h,
  COUNT(*) FILTER (WHERE declined) OVER merchant_1h AS merchant_declined_1h,
  MEAN(amount_minor) FILTER (WHERE approved) OVER merchant_30d AS merchant_mean_30d
FROM gate_event
WINDOW
  customer_1h AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  customer_24h AS (
    PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  account_1h AS (
    PARTITION BY account ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  account_24h AS (
    PARTITION BY account ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  account_24h_self AS (
    PARTITION BY account ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  account_30d AS (
    PARTITION BY account ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 30 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  account_ever AS (
    PARTITION BY account ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  card_10m AS (
    PARTITION BY card ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 10 MINUTES PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  card_10m_self AS (
    PARTITION BY card ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 10 MINUTES PRECEDING AND CURRENT ROW),
  card_1h_self AS (
    PARTITION BY card ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  card_7d AS (
    PARTITION BY card ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 7 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  card_ever AS (
    PARTITION BY card ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  device_1h AS (
    PARTITION BY device ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  device_7d AS (
    PARTITION BY device ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 7 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW),
  customer_device_ever AS (
    PARTITION BY customer, device ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  ip_1h AS (
    PARTITION BY ip ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  ip_24h AS (
    PARTITION BY ip ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  beneficiary_24h AS (
    PARTITION BY beneficiary ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 24 HOURS, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  account_beneficiary_ever AS (
    PARTITION BY account, beneficiary ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  merchant_1h AS (
    PARTITION BY merchant ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  merchant_1h_self AS (
    PARTITION BY merchant ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  merchant_30d AS (
    PARTITION BY merchant ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 30 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW)
