-- Duty: the place of a job among those of its claim, see header.lua. Places from 62^3 on sort first: no worker holds so many.
local DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
local BASE = #DIGITS

local function digit(value)
  return string.sub(DIGITS, value + 1, value + 1)
end

-- The digits of a place but the last.
local function high_digits(place)
  local high = math.floor(place / BASE)
  return digit(math.floor(high / BASE)) .. digit(high % BASE)
end
