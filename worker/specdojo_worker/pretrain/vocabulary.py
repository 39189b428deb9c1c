"""Words for made-up APIs: nouns, verbs with synonyms, attributes, values. No well-known API's names are in it (see `banned.txt`)."""

from __future__ import annotations

import random
from pathlib import Path

BANNED = frozenset((Path(__file__).parent / "banned.txt").read_text().split())

NOUNS = """
gadget widget parcel crate pallet shipment carrier route depot invoice receipt ledger budget voucher coupon refund
payment payout wallet loan deposit policy claim quote contract lease tenant landlord apartment room desk locker floor
building garage vehicle truck van bicycle scooter trailer engine battery sensor meter gauge probe thermostat camera
printer scanner router switch antenna satellite rocket capsule launch mission crew pilot flight gate lounge passenger
luggage itinerary trip tour guide hotel booking reservation guest menu dish recipe ingredient meal diner table chef
kitchen oven bakery cake loaf cheese wine bottle barrel vineyard orchard tree plant seed flower garden greenhouse crop
field tractor barn herd cow horse sheep hive bee trap net boat ferry harbor dock anchor cargo container warehouse shelf
bin aisle supplier vendor product item catalog brand collection bundle discount promotion campaign banner advert lead
prospect contact client customer account member employee worker manager team department office branch shift schedule
timesheet payslip salary bonus skill course lesson lecture student teacher tutor class exam grade homework quiz question
answer survey form template report chart dashboard widgetset metric alert incident outage ticketline problem bug patch
release build pipeline job task todo project milestone sprint epic story board card note memo document folder file page
chapter book author publisher library magazine article post comment reply thread topic forum channel message chat call
meeting event festival concert show stage band song album playlist track podcast episode film movie actor director scene
script studio theater exhibit painting sculpture gallery photo picture video clip frame lens filter game player match
league season score goal referee stadium coach trophy medal race runner lap record gym workout exercise diet patient
doctor nurse clinic hospital ward bed treatment prescription drug dose vaccine allergy symptom diagnosis lab sample test
experiment dataset model feature label run cluster node server host container-image volume bucket snapshot backup domain
certificate key token secret role permission group user profile session device app plugin extension theme setting flag
rule policy-rule workflow step trigger webhook endpoint queue topic-feed stream feed subscription plan tier feature-toggle
license seat order cart basket checkout shipment-label return exchange complaint review rating feedback suggestion idea
vote poll election candidate district city region country street address place landmark bridge tunnel road lane signal
crossing station platform train tram bus stop line fare pass toll permit fine court case lawyer witness hearing verdict
law bill committee donor donation charity volunteer shelter kennel toy puzzle lego kite balloon costume mask tent
backpack lantern compass map trail summit glacier lake river island beach reef fish shark whale bird nest feather egg
dragon wizard potion spell quest dungeon castle knight sword shield armor planet star galaxy comet asteroid telescope
robot drone arm motor valve pump pipe tank boiler furnace turbine generator panel inverter grid substation transformer
cable fuse switchboard lamp bulb fixture chair sofa carpet curtain window door lock camera-feed alarm detector
blanket pillow mattress towel soap shampoo perfume razor brush comb scissors needle thread-spool fabric pattern-sheet
shirt jacket coat hat glove sock shoe boot belt ring necklace bracelet watch gem diamond coin stamp token-card badge
""".split()

ACTIONS: dict[str, dict[str, list[str]]] = {
    # kind -> verbs used in operation names, verbs used in descriptions, phrases used by people ({r} = the thing)
    "list": {
        "name": ["list", "get", "find", "search", "fetch", "query", "browse", "show", "getAll", "listAll", "all"],
        "desc": ["List {ns}", "Returns all {ns}", "Get a list of {ns}", "Retrieve {ns}", "Search {ns}", "Find {ns}",
                 "Lists the {ns} of the account", "Query {ns} with filters", "Get all {ns}", "Fetches {ns}, newest first",
                 "Returns a page of {ns}", "Finds {ns}", "Browse the {ns}", "Gives the {ns} that match", "List of {ns}",
                 "Retrieves a list of available {ns}"],
    },
    "get": {
        "name": ["get", "fetch", "retrieve", "read", "show", "find", "lookup", "view", "describe", "load"],
        "desc": ["Get {a_n}", "Returns a single {n}", "Retrieve {a_n} by its {id}", "Find {n} by {id}", "Fetch one {n}",
                 "Details of {a_n}", "Shows {a_n}", "Get {n} details", "Look up {a_n}", "Returns the {n} with the given {id}",
                 "Info for a specific {n}", "Read {a_n}", "Get {n} by {id}"],
    },
    "create": {
        "name": ["create", "add", "new", "register", "post", "insert", "make", "place", "submit", "save"],
        "desc": ["Create {a_n}", "Add a new {n}", "Registers a new {n}", "Creates {a_n} in the account", "Make a new {n}",
                 "Insert {a_n}", "Submit a new {n}", "Adds {a_n} to the collection", "Store a new {n}", "New {n}",
                 "Add {a_n} to the system", "Creates a new {n} for the team", "Place {a_n}", "Place a new {n}"],
    },
    "update": {
        "name": ["update", "edit", "modify", "patch", "change", "set", "put", "revise"],
        "desc": ["Update {a_n}", "Update an existing {n}", "Edit {a_n}", "Modifies {a_n}", "Change fields of {a_n}",
                 "Partially updates {a_n}", "Updated {n}", "Change {a_n}", "Updates {a_n} with form data", "Replace {a_n}",
                 "Set fields of {a_n}", "Edits the {n} with the given {id}"],
    },
    "delete": {
        "name": ["delete", "remove", "destroy", "drop", "erase", "del"],
        "desc": ["Delete {a_n}", "Deletes {a_n}", "Remove {a_n}", "Removes {a_n} for good", "Delete {n} by {id}",
                 "Destroys {a_n}", "Erase {a_n}", "Delete the {n} with the given {id}", "Drop {a_n}"],
    },
}

# Other verbs on one thing: name, description verb (3rd person, base), phrases; "{r}" is the reference to the thing.
VERBS: dict[str, list[str]] = {
    "cancel": ["cancel {r}", "call off {r}", "call {r} off", "{r} has to be cancelled", "{r} won't happen, cancel it"],
    "approve": ["approve {r}", "sign off on {r}", "give the go-ahead for {r}", "{r} is approved", "okay {r}", "accept {r}"],
    "reject": ["reject {r}", "turn down {r}", "decline {r}", "{r} is not acceptable, reject it", "say no to {r}"],
    "archive": ["archive {r}", "put {r} into the archive", "move {r} to the archive", "file {r} away"],
    "restore": ["restore {r}", "bring back {r}", "bring {r} back", "undelete {r}", "recover {r}"],
    "publish": ["publish {r}", "make {r} public", "put {r} online", "{r} can go live", "release {r}"],
    "activate": ["activate {r}", "turn on {r}", "switch {r} on", "make {r} active", "enable {r}"],
    "deactivate": ["deactivate {r}", "turn off {r}", "switch {r} off", "shut {r} off", "disable {r}"],
    "start": ["start {r}", "kick off {r}", "get {r} going", "launch {r}", "begin {r}", "fire up {r}"],
    "stop": ["stop {r}", "halt {r}", "shut down {r}", "end {r}", "{r} must stop"],
    "pause": ["pause {r}", "put {r} on hold", "suspend {r}", "hold {r} for now"],
    "resume": ["resume {r}", "continue {r}", "carry on with {r}", "{r} can go on", "unpause {r}"],
    "lock": ["lock {r}", "lock {r} down", "close {r} off", "nobody should touch {r}, lock it"],
    "unlock": ["unlock {r}", "open {r} up", "remove the lock from {r}"],
    "duplicate": ["duplicate {r}", "copy {r}", "make a copy of {r}", "clone {r}"],
    "verify": ["verify {r}", "check {r}", "confirm {r}", "make sure {r} is right"],
    "export": ["export {r}", "get me an export of {r}", "dump {r} to a file"],
    "download": ["download {r}", "get me the file of {r}", "save {r} to disk"],
    "reset": ["reset {r}", "put {r} back to its defaults", "start {r} over", "clear {r}"],
    "sync": ["sync {r}", "synchronize {r}", "bring {r} up to date"],
    "ship": ["ship {r}", "send out {r}", "send {r} out", "{r} is ready to ship"],
    "refresh": ["refresh {r}", "reload {r}", "update the data of {r}"],
    "close": ["close {r}", "{r} is done, close it", "wrap up {r}", "shut {r}"],
    "reopen": ["reopen {r}", "open {r} again", "{r} is not finished, open it again"],
    "escalate": ["escalate {r}", "raise {r} to the next level", "{r} needs attention from above, escalate it"],
    "inspect": ["inspect {r}", "examine {r}", "take a close look at {r}"],
    "retry": ["retry {r}", "try {r} again", "run {r} once more", "rerun {r}"],
    "print": ["print {r}", "print out {r}", "I need {r} on paper"],
    "track": ["track {r}", "where is {r} now?", "follow {r}", "tell me where {r} is"],
    "subscribe": ["subscribe to {r}", "sign me up for {r}", "follow {r} for updates", "keep me posted on {r}"],
    "unsubscribe": ["unsubscribe from {r}", "stop sending me updates about {r}", "sign me off from {r}"],
    "book": ["book {r}", "reserve {r}", "I want to book {r}", "hold {r} for me"],
    "pay": ["pay {r}", "settle {r}", "pay for {r}", "take care of paying {r}"],
    "refund": ["refund {r}", "give the money back for {r}", "pay back {r}"],
    "rate": ["rate {r}", "give {r} a rating", "score {r}"],
    "share": ["share {r}", "let others see {r}", "pass {r} on"],
    "validate": ["validate {r}", "check whether {r} is valid", "is {r} valid?"],
    "schedule": ["schedule {r}", "plan {r}", "put {r} on the calendar"],
    "merge": ["merge {r}", "combine {r} with the main one", "join {r} into the main one"],
    "measure": ["measure {r}", "take a reading of {r}", "how much does {r} show?"],
    "estimate": ["estimate {r}", "give me an estimate for {r}", "roughly, what would {r} come to?"],
    "summarize": ["summarize {r}", "give me a summary of {r}", "sum up {r}"],
    "translate": ["translate {r}", "put {r} into another language"],
}

# Verbs that are said as they are; their past ends in "ed" with no letter doubled.
RARE_VERBS = """
abandon acquire adjust administer advertise allocate amend annotate apply appoint appraise arbitrate assemble assess assign attach audit authorize automate balance
benchmark bleach blend block bookmark borrow brand bundle calibrate certify challenge charge chill cite clarify classify clean collect commission compact compare
compensate compile compose compress condemn configure confiscate consolidate consult convert correlate crush decode decorate decrypt deliver demolish deploy deposit
derive detach detain diagnose digest dilute discharge disclose discount dismantle dismiss dispatch dissolve distribute divert donate downgrade drain elect elevate empty
encode encrypt endorse enrich enroll evacuate evaluate evict exchange exempt expedite extend extract fasten ferment filter finalize fold forfeit forward fumigate garnish
generate glaze grade graft grant grease harden harvest heat highlight hire host hydrate illuminate immunize impound incorporate index inflate inform inject insulate
insure interview inventory invert invite invoice isolate label laminate lease license link liquidate load mail mask migrate mint mirror moderate monitor mount mow mute
nominate notify nullify obtain offer orient overhaul overturn pack paint parse patch pave penalize perforate plant plaster pledge polish poll postpone preheat prescribe
preserve preview price probe process promote propose prosecute protect prune pulverize purge purify quarantine query queue raffle ransom ratify reassign recall recharge
recite reconcile recycle redact redeem redirect refine refuel regulate reimburse reinforce relocate remind renew renovate repair repeal replant replicate report
reschedule revoke rinse roast rotate route sanction sand seal secure seize select separate sharpen shelve sign silence simulate sketch smooth snooze soak solder solve
sponsor sprinkle stain staple sterilize stitch strengthen stretch sweeten tailor tame tarnish taste tax tease terminate test thaw throttle tighten toast tow train
transcribe transplant transport trash treat trigger tune unblock unload unpack upgrade upload vaccinate varnish void waive warn warrant wash water weigh weld whiten
winterize yield
""".split()

# Things that belong to one thing and can be read: noun phrase -> questions.
FACTS: dict[str, list[str]] = {
    "status": ["what is the status of {r}?", "how is {r} doing?", "status of {r}", "tell me the state of {r}", "check the status of {r}"],
    "history": ["show the history of {r}", "what happened to {r} so far?", "how has {r} changed over time?", "history for {r}"],
    "price": ["how much does {r} cost?", "what is the price of {r}?", "price of {r}", "what would I pay for {r}?"],
    "location": ["where is {r}?", "what is the location of {r}?", "locate {r}", "where can I find {r}?"],
    "summary": ["give me a summary of {r}", "sum up {r}", "{r} in short, please", "summary of {r}"],
    "stats": ["show statistics for {r}", "what are the numbers for {r}?", "stats of {r}", "how is {r} performing?"],
    "settings": ["show the settings of {r}", "how is {r} configured?", "settings for {r}", "what is the configuration of {r}?"],
    "owner": ["who owns {r}?", "who is the owner of {r}?", "tell me who {r} belongs to"],
    "balance": ["what is the balance of {r}?", "how much is left on {r}?", "balance for {r}"],
    "schedule": ["what is the schedule of {r}?", "when is {r} open?", "show me the timetable of {r}", "hours of {r}"],
    "logs": ["show the logs of {r}", "what did {r} log?", "get me the log of {r}"],
    "image": ["show the picture of {r}", "what does {r} look like?", "get the image for {r}"],
    "availability": ["is {r} available?", "check the availability of {r}", "can I still get {r}?"],
    "members": ["who is in {r}?", "list the members of {r}", "who belongs to {r}?"],
    "permissions": ["who may use {r}?", "show the permissions of {r}", "what access rules apply to {r}?"],
    "forecast": ["what is the forecast for {r}?", "what do we expect for {r}?", "show me the outlook for {r}"],
}

# Whole-account operations without a reference: (name words, descriptions, phrases)
GLOBALS: list[tuple[str, list[str], list[str]]] = [
    ("count {ns}", ["Count the {ns}", "Number of {ns}", "Returns how many {ns} exist"],
     ["how many {ns} do we have?", "count the {ns}", "what is the number of {ns}?", "tell me the total of {ns}"]),
    ("{n} stats", ["Statistics over all {ns}", "Returns {n} counts by status", "Aggregated numbers about {ns}"],
     ["show me the statistics of all {ns}", "give me numbers about our {ns}", "how many {ns} per status are there?", "{n} statistics please"]),
    ("{n} stock", ["Returns the {n} stock by status", "Stock levels of {ns}", "Current stock of {ns}"],
     ["what is our {n} stock?", "how many {ns} are in stock?", "stock levels of {ns}", "show the {n} stock"]),
    ("sign in", ["Signs a user in", "Start a session", "Log into the system"], ["sign me in", "log in", "start a session", "sign in"]),
    ("sign out", ["Signs out the current user", "Ends the current session"], ["sign me out", "log out", "end my session", "I'm done, sign me out"]),
    ("health check", ["Health of the service", "Is the service up?"], ["is the service up?", "run a health check", "is everything running?"]),
    ("my profile", ["Information about the current user", "Who am I"], ["who am I?", "show me my own data", "what do you know about me?", "my account details"]),
    ("version", ["Version of the service"], ["which version is running?", "what version is this?", "version please"]),
    ("latest {n}", ["The newest {n}", "Returns the most recent {n}"],
     ["show the latest {n}", "what is the newest {n}?", "most recent {n}, please", "give me the last {n}"]),
    ("random {n}", ["Returns a random {n}"], ["pick any {n}", "surprise me with {a_n}", "give me a random {n}"]),
    ("clear {ns}", ["Remove all {ns}", "Deletes every {n}"], ["remove all {ns}", "delete every single {n}", "wipe the {ns}", "get rid of all {ns}"]),
]

FIRST_NAMES = """
anna ben carla david elena frank grace hugo ines jonas kara leo mia noah olga paul quinn rosa sam tina uma victor wendy
xavier yara zoe alice bob chen dmitri emma farid gina hassan ivy jack kenji lena marco nadia omar priya ravi sofia tom
ursula vera will yusuf amara bruno celine diego esther felix greta henrik isla jorge kofi laila mateo nina otto petra
""".split()
LAST_NAMES = """
smith jones garcia mueller rossi tanaka kim patel silva novak larsen dubois okafor haddad ivanov nguyen lopez weber costa
berg moreau khan walker young baker fisher stone brook field hill ford lane marsh reed wood cross west north
""".split()
CITIES = """
Paris London Berlin Madrid Rome Vienna Oslo Dublin Lisbon Athens Prague Warsaw Zurich Geneva Munich Hamburg Lyon Porto
Boston Chicago Denver Seattle Austin Miami Toronto Montreal Lima Bogota Quito Santiago Nairobi Lagos Cairo Accra Tokyo
Osaka Kyoto Seoul Busan Delhi Mumbai Jakarta Manila Sydney Perth Auckland Springfield Riverside Lakewood Milltown
""".split()
COUNTRIES = "France Germany Spain Italy Norway Sweden Poland Kenya Ghana Egypt Japan Korea India Peru Chile Brazil Canada Mexico Ireland Greece".split()
ADJECTIVES = """
red blue green yellow black white silver golden small large big tiny heavy light fast slow old new modern classic quiet
loud bright dark warm cold dry wet soft hard sweet sour fresh wild calm brave clever gentle proud lucky happy sunny
rainy foggy frozen hidden broken solid empty full open secret rapid spicy smooth rough round flat tall narrow wide
""".split()
THINGS = """
sunset harvest winter summer spring autumn morning evening night river mountain forest desert ocean storm thunder breeze
shadow mirror candle lantern anchor arrow feather pebble ember maple cedar willow ivory copper velvet linen cotton
pepper ginger honey lemon mango olive basil cinnamon vanilla coffee cocoa falcon otter badger panda tiger lynx raven
""".split()
ENUM_SETS: list[list[str]] = [s.split() for s in """
open closed pending
active inactive
draft review published
new in_progress done
low medium high
low normal high urgent
todo doing blocked finished
small medium large
placed approved delivered
free reserved occupied
queued running failed succeeded
unpaid paid overdue refunded
online offline
red green blue
bronze silver gold
public private unlisted
daily weekly monthly yearly
pdf csv xlsx
json xml yaml
asc desc
ascending descending
email sms push
standard express overnight
economy business first
adult child senior
beginner intermediate advanced
vegan vegetarian regular
celsius fahrenheit
metric imperial
hot cold mild
north south east west
in_stock sold_out discontinued
waiting accepted declined
trial basic premium enterprise
morning afternoon evening
scheduled ongoing cancelled completed
indoor outdoor
visa mastercard paypal
owner editor viewer
minor major critical
raw cooked frozen
single double suite
fiction poetry drama
info warning error
enabled disabled
available rented broken
lost found returned
planned started shipped
solid liquid gas
left right center
""".strip().split("\n")]
CURRENCIES = "USD EUR GBP CHF JPY SEK".split()
LANGUAGES = "en de fr es it pt nl sv ja ko".split()
MONTHS = "January February March April May June July August September October November December".split()

# General English, so that descriptions and questions of real documents do not fall into single letters. Each word is a
# token of its own, so the corpus uses them too: as values, names of parameters and, now and then, as things.
COMMON = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said
there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more
write go see number no way could people my than first water been call who now find long down day did get come made may part over new sound take only little
work know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too
mean old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask
went men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found
information available result results request response returns given multiple value values separated comma based provided using existing current access data
error success successful valid invalid required optional default maximum minimum between during without within under above total unique identifier
metadata additional endpoint account authentication authorization version details list search filter query parameter parameters configuration
application organization organizations address payment payments resource resources collection collections member members invitation permission permissions
monday tuesday wednesday thursday friday saturday sunday weekend month year week hour minute second morning evening visitor visitors opening hours special
available inventory quantity status complete completed purchase sale price product products estimate time ride driver rider location latitude longitude
dog cat friend family school money business company world country state city street phone email message photo image video music book food health report
""".split()

KNOWN = frozenset(COMMON)
VOWELS = "a e i o u a e i o ai ea oo ou".split()
ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl pr st tr sh ch th qu sn bl cr".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "x", "m", "nd", "rk", "st", "ck", "p", "b", "g", "sh"]


def pseudo_word(rng: random.Random, low: int = 1, high: int = 3) -> str:
    """A pronounceable word that means nothing and is no well-known API's."""
    word = "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + (rng.choice(CODAS) if rng.random() < 0.6 else "")
        for _ in range(rng.randint(low, high))
    )
    return word if word not in BANNED and word not in KNOWN else pseudo_word(rng, low, high)


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith("fe"):
        return noun[:-2] + "ves"
    if noun.endswith("shelf"):
        return noun[:-1] + "ves"
    return {"child": "children", "person": "people", "fish": "fish", "sheep": "sheep", "luggage": "luggage pieces"}.get(noun, noun + "s")


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    an = noun[0] in "aeiou" and not noun.startswith(("user", "uni", "eu", "one"))
    return ("an " if an or noun.startswith(("hour", "heir")) else "a ") + noun
