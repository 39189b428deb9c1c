/** Everyday values. Wide on purpose, and always mixed with made-up words, so that values cannot be learned by heart. */
function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
function phrases(text: string): readonly string[] {
  return text
    .split(";")
    .map((phrase) => phrase.trim().replace(/\s+/g, " "))
    .filter((phrase) => phrase !== "");
}

export const firstNames = words(`
Ada Amara Anders Anika Ayesha Bela Benito Bruno Carmen Chidi Clara Dario Dmitri Elena Elif Emeka Esther Farid Fatima Felix
Freya Gita Goran Greta Hana Hassan Helga Hiro Ines Ingrid Ivan Jamal Jorge Julia Kaito Kamala Karim Katya Lars Leila Lena
Linh Lucia Luka Magda Mai Malik Marta Mateo Mei Milan Mina Nadia Naveen Nils Nora Olga Omar Oscar Paola Pavel Petra Priya
Quentin Rafael Rania Renata Rosa Ruben Sade Salma Samir Sanjay Selma Sigrid Sofia Stefan Sven Tariq Tessa Theo Tomas Ulla
Umar Vera Viktor Wanda Wei Xenia Yara Yusuf Zara Zoltan`);

export const lastNames = words(`
Abara Adler Aguilar Almeida Andersen Bakker Baranov Becker Bianchi Borg Castillo Chen Costa Dahl Demir Dubois Eklund Endo
Fernandes Fischer Fontana Garcia Gruber Haddad Hansen Horvat Ibrahim Ito Jansen Jovanovic Kaplan Keller Khan Kim Kovacs
Kowalski Larsen Lindqvist Lopez Marino Mbeki Mehta Meyer Moreau Nakamura Navarro Novak Nyberg Okafor Olsen Ortega Patel
Petrov Popescu Quist Rahman Reyes Ricci Romano Rossi Sato Schmidt Silva Singh Sokolov Suarez Tanaka Torres Tran Ueda Varga
Vogel Wagner Weber Wolff Yamada Yilmaz Zhang Zielinski`);

export const cities = phrases(`
Aarhus; Accra; Ankara; Antwerp; Athens; Bergen; Bilbao; Bogota; Bologna; Bratislava; Bristol; Cairo; Cape Town; Cork; Dakar;
Denver; Dresden; Dublin; Durban; Galway; Geneva; Ghent; Graz; Haifa; Hamburg; Hanoi; Havana; Helsinki; Izmir; Jaipur; Kampala;
Kobe; Krakow; Kyoto; La Paz; Lagos; Leeds; Lima; Lisbon; Ljubljana; Lyon; Malaga; Manila; Medellin; Montreal; Mumbai; Munich;
Nairobi; Naples; New Orleans; Osaka; Oslo; Ottawa; Palermo; Perth; Porto; Prague; Quito; Reykjavik; Riga; Rotterdam; San Diego;
Santiago; Sapporo; Seattle; Seville; Split; Tampere; Tbilisi; Toulouse; Turin; Utrecht; Valencia; Vienna; Vilnius; Warsaw;
Wellington; York; Zagreb; Zurich`);

export const countries = phrases(`
Argentina; Austria; Belgium; Brazil; Canada; Chile; Colombia; Croatia; Denmark; Ecuador; Egypt; Estonia; Finland; France;
Germany; Ghana; Greece; Hungary; Iceland; India; Ireland; Italy; Japan; Kenya; Latvia; Mexico; Morocco; Nepal; Norway; Peru;
Poland; Portugal; Romania; Senegal; Serbia; Slovenia; Spain; Sweden; Thailand; Tunisia; Turkey; Uganda; Uruguay; Vietnam`);

export const countryCodes = words(
  "AR AU BE BR CA CH CL CO CZ DE DK EE EG ES FI FR GB GH GR HR HU IE IL IN IS IT JP KE KR LT LV MA MX NL NO NP NZ PE PL PT RO RS SE SG SI SK TH TR UA UG US UY VN ZA",
);
export const currencies = words(
  "AUD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP GHS HKD HUF IDR ILS INR ISK JPY KES KRW MAD MXN NGN NOK NZD PEN PHP PLN RON RSD SEK SGD THB TRY TWD UAH USD VND ZAR",
);
export const languageCodes = words(
  "ar bg cs da de el en es et fi fr he hi hr hu id is it ja ko lt lv nb nl pl pt ro ru sk sl sv sw th tr uk vi zh",
);
export const timeZones = words(
  "Africa/Cairo Africa/Lagos America/Bogota America/Chicago America/Denver America/Lima Asia/Dubai Asia/Kolkata Asia/Seoul Asia/Tokyo Australia/Perth Europe/Athens Europe/Berlin Europe/Lisbon Europe/Oslo Europe/Rome Pacific/Auckland UTC",
);

export const nouns = words(`
anchor apple arrow atlas badge balcony bamboo banner barrel basket beacon bell blanket boat bottle branch bridge brush bucket
button cabin cable camera candle canvas canyon carpet castle cedar chain chair chalk circle clock cloud clover coat coffee comet
compass copper coral cotton crane crystal curtain desert desk diamond drum eagle ember engine falcon feather fern ferry field
fiddle flute forest fountain fox garden glacier glass globe glove grain granite grove guitar hammer harbor harvest hazel helmet
heron honey horizon island ivory jacket jasmine jungle kayak kettle ladder lagoon lamp lantern laurel lemon lighthouse lily linen
lotus magnet maple marble meadow mirror monsoon moss mountain notebook oak oasis ocean olive onyx opal orchard orchid otter
paddle palette panther paper pearl pebble pepper piano pillow pine planet plum pocket prairie prism quartz quilt rabbit radio
raven reef ribbon river rocket saddle saffron sail sapphire scarf shadow shell silver sparrow spruce stone stream summit sunrise
swan table tea thunder tiger timber torch tower tulip tunnel turtle valley velvet violet violin wagon walnut waterfall whistle
willow window winter wolf zephyr`);

export const adjectives = words(`
amber ancient blue bold brave bright calm clever cold cozy crimson curious dark deep early eager easy elegant fancy fast fine
fresh gentle giant golden grand gray green happy hidden hollow humble icy jolly keen large late lazy little loud lucky mellow
mighty misty modern narrow noble northern odd old pale patient plain polite proud purple quick quiet rapid rare red rough round
royal rustic sandy scarlet sharp shiny short silent simple slow small smart smooth soft solid spicy steady stormy strong sunny
sweet swift tall tender tiny vivid warm wide wild wise witty wooden yellow young`);

export const colors = words(
  "amber beige black blue bronze brown coral crimson cyan gold gray green indigo ivory khaki lavender lime magenta maroon mint navy olive orange peach pink plum purple red rust salmon scarlet silver tan teal turquoise violet white yellow",
);

export const occasions = phrases(`
annual review; autumn sale; beta launch; board meeting; book club; budget planning; charity run; city tour; client dinner;
code workshop; coffee tasting; concert night; design sprint; family picnic; film evening; garden party; harvest festival;
house warming; jazz brunch; kick-off call; language class; member drive; morning yoga; open day; photo walk; poetry reading;
product demo; quarterly report; quiz night; road trip; safety training; school play; spring clean; staff lunch; street market;
summer camp; team offsite; trade fair; travel diary; weekly digest; wine tasting; winter gala`);

export const sentences = phrases(`
arrived two days late; the box was damaged; works better than expected; please call before delivery; leave it with the neighbor;
needs a second look; ready for the next step; waiting for approval; the color is not right; keep this between us; ask for the
manager; handle with care; no longer needed; replaces the old version; prefers a window seat; allergic to nuts; a gift for a
friend; parking is behind the house; customer asked for a refund; moved to a larger room; bring your own laptop; the door code
has changed; great value for money; too small for the kitchen; a quiet place to work; runs out of battery quickly`);

export const streets = phrases(`
Alder Road; Bakery Lane; Canal Street; Cherry Avenue; Church Hill; Dock Street; Elm Drive; Falcon Way; Garden Row; Harbor
Street; High Street; Hill Road; Juniper Court; King Street; Lake View; Linden Avenue; Maple Street; Market Square; Meadow Lane;
Mill Road; North Bridge; Oak Terrace; Orchard Close; Park Avenue; Pine Street; Quarry Road; River Walk; Rose Lane; School Lane;
Spring Street; Station Road; Sunset Drive; Temple Row; Valley Road; Willow Court; Windmill Street`);

export const topics = words(`
accounting animation archery astronomy baking biology budget camping ceramics chess climate cooking cycling dance design
education energy fashion fiction finance fitness fishing football gardening geology health hiking history housing hockey
insurance jazz knitting law logistics marketing medicine music nature painting parenting photography physics podcasts poetry
politics privacy recipes rowing running sailing science security skiing soccer sports startups surfing sustainability tennis
theater travel urgent vegan vintage weather wellness woodwork writing yoga`);

export const statuses = words(
  "active approved archived blocked cancelled closed completed confirmed delivered draft expired failed finished inactive open paid paused pending processing published ready rejected resolved scheduled shipped suspended waiting",
);

export const jobs = words(
  "accountant analyst architect baker barber carpenter chef consultant designer developer doctor driver editor electrician engineer farmer gardener journalist lawyer librarian manager mechanic musician nurse photographer pilot plumber professor receptionist researcher sculptor tailor teacher technician translator tutor vet waiter writer",
);

export const fileStems = words(
  "agenda audit banner brochure budget catalog contract diagram draft export flyer forecast guide handbook inventory invoice letter logo manual memo menu minutes notes outline photo plan poster proposal receipt report roster schedule sketch slides summary survey ticket timesheet transcript",
);
export const fileTypes = words("csv docx gif jpg json md mp3 mp4 pdf png pptx txt wav xlsx zip");
export const mimeTypes = words(
  "application/json application/pdf audio/mpeg image/gif image/jpeg image/png text/csv text/html text/plain video/mp4",
);

const onsets = words(
  "b bl br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk sl st t th tr v w y z",
);
const vowels = words("a e i o u ai ea ia io oo ou");
const codas = ["", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "rk", "sk", "th"];

/** What a made-up word is drawn from. */
export const syllables = { onsets, vowels, codas };
