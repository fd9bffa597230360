-- Duty: run this script also when the server is out of memory: what was accepted must stay workable, cancellable, removable.
-- Redis refuses a script's write for want of memory only while the script has written nothing. This deletes a key that never exists.
redis.call('DEL', P)
