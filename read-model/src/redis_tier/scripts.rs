//! What Redis does in one step. Every script refuses what is not of the epoch it was meant for.

use redis::Script;

/// Documents of a publication, each only over an older one; nothing when the epoch is not ours.
/// KEYS mark, documents…; ARGV epoch, ttl, sequence, then a body per document ("" = tombstone). 1 = done, 0 = epoch is not ours.
const PUT: &str = "
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, string.len(ARGV[3]) - 1)
  if old < ARGV[3] then redis.call('SET', KEYS[i], ARGV[3] .. ARGV[i + 2], 'EX', ARGV[2]) end
end
return 1";

/// The mark from one sequence to the next; said again, it is done already. ARGV epoch, from, to, token, status. 1 = done, 0 = it
/// is elsewhere.
const RAISE: &str = "
local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'token')
if m[1] ~= ARGV[1] or tonumber(m[3]) > tonumber(ARGV[4]) then return 0 end
if m[2] == ARGV[3] and m[3] == ARGV[4] then return 1 end
if m[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'token', ARGV[4], 'status', ARGV[5])
return 1";

/// A new epoch, unless a younger ingester owns the mark. ARGV epoch, sequence, token, status, a token that is overruled.
/// 1 = done, else the owner's token, negative.
const BEGIN: &str = "
local token = redis.call('HGET', KEYS[1], 'token')
if token and tonumber(token) > tonumber(ARGV[3]) and token ~= ARGV[5] then return -tonumber(token) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2], 'token', ARGV[3], 'status', ARGV[4])
return 1";

/// A reader's document, unless it might be older than what was published since. ARGV epoch, ttl, sequence seen, body.
const FILL: &str = "
local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if m[1] ~= ARGV[1] or tonumber(m[2]) > tonumber(ARGV[3]) then return 0 end
local old = redis.call('GETRANGE', KEYS[2], 0, string.len(ARGV[3]) - 1)
if old < ARGV[3] then redis.call('SET', KEYS[2], ARGV[3] .. ARGV[4], 'EX', ARGV[2]) end
return 1";

/// The scripts, with their hashes.
pub(super) struct Scripts {
    pub put: Script,
    pub raise: Script,
    pub begin: Script,
    pub fill: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let [put, raise, begin, fill] = [PUT, RAISE, BEGIN, FILL].map(Script::new);
        Self { put, raise, begin, fill }
    }
}
