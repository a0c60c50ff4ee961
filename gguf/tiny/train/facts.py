"""Fact tables for the corpus, all written by hand for this project."""


def records(text):
    """Records end in |, fields in a colon; line breaks are for reading only."""
    return [tuple(record.strip().split(":")) for record in text.replace("\n", "").split("|")]


def lines(text):
    """One record a line, fields end in #."""
    return [tuple(line.split("#")) for line in text.split("\n")]


CAPITALS = records(
    """France:Paris:Europe|Germany:Berlin:Europe|Italy:Rome:Europe|Spain:Madrid:Europe|Portugal:Lisbon:Europe
|the United Kingdom:London:Europe|Ireland:Dublin:Europe|Belgium:Brussels:Europe|the Netherlands:Amsterdam:Europe
|Austria:Vienna:Europe|Switzerland:Bern:Europe|Greece:Athens:Europe|Sweden:Stockholm:Europe|Norway:Oslo:Europe
|Denmark:Copenhagen:Europe|Finland:Helsinki:Europe|Poland:Warsaw:Europe|Hungary:Budapest:Europe|Ukraine:Kyiv:Europe
|Romania:Bucharest:Europe|Russia:Moscow:Europe|Iceland:Reykjavik:Europe|Turkey:Ankara:Asia|Egypt:Cairo:Africa
|Kenya:Nairobi:Africa|Nigeria:Abuja:Africa|Ghana:Accra:Africa|Morocco:Rabat:Africa|Ethiopia:Addis Ababa:Africa
|China:Beijing:Asia|Japan:Tokyo:Asia|India:New Delhi:Asia|South Korea:Seoul:Asia|Thailand:Bangkok:Asia
|Vietnam:Hanoi:Asia|Indonesia:Jakarta:Asia|Iran:Tehran:Asia|Iraq:Baghdad:Asia|Israel:Jerusalem:Asia
|Pakistan:Islamabad:Asia|Nepal:Kathmandu:Asia|Canada:Ottawa:North America|Mexico:Mexico City:North America
|the United States:Washington, D.C.:North America|Cuba:Havana:North America|Brazil:Brasilia:South America
|Argentina:Buenos Aires:South America|Chile:Santiago:South America|Peru:Lima:South America
|Colombia:Bogota:South America|Australia:Canberra:Oceania|New Zealand:Wellington:Oceania"""
)

ELEMENTS = records(
    """hydrogen:H:1:gas|helium:He:2:gas|lithium:Li:3:metal|beryllium:Be:4:metal|boron:B:5:metalloid|carbon:C:6:nonmetal
|nitrogen:N:7:gas|oxygen:O:8:gas|fluorine:F:9:gas|neon:Ne:10:gas|sodium:Na:11:metal|magnesium:Mg:12:metal
|aluminum:Al:13:metal|silicon:Si:14:metalloid|phosphorus:P:15:nonmetal|sulfur:S:16:nonmetal|chlorine:Cl:17:gas
|argon:Ar:18:gas|potassium:K:19:metal|calcium:Ca:20:metal|iron:Fe:26:metal|nickel:Ni:28:metal|copper:Cu:29:metal
|zinc:Zn:30:metal|silver:Ag:47:metal|tin:Sn:50:metal|iodine:I:53:nonmetal|gold:Au:79:metal|mercury:Hg:80:metal
|lead:Pb:82:metal|uranium:U:92:metal"""
)

# name, legs, sound verb, food, young, home, group
ANIMALS = records(
    """dog:4:barks:meat and dog food:puppy:in homes with people:mammal|cat:4:meows:fish and meat:kitten:in homes with people:mammal
|cow:4:moos:grass:calf:on farms:mammal|horse:4:neighs:grass and hay:foal:on farms:mammal|sheep:4:bleats:grass:lamb:on farms:mammal
|pig:4:oinks:vegetables and grain:piglet:on farms:mammal|duck:2:quacks:plants and small insects:duckling:near water:bird
|chicken:2:clucks:seeds and insects:chick:on farms:bird|lion:4:roars:meat:cub:in the grasslands of Africa:mammal
|wolf:4:howls:meat:pup:in forests:mammal|bear:4:growls:berries, fish and honey:cub:in forests:mammal
|frog:4:croaks:insects:tadpole:in ponds:amphibian|owl:2:hoots:mice and insects:owlet:in trees:bird
|bee:6:buzzes:nectar and pollen:larva:in hives:insect|mouse:4:squeaks:seeds and cheese:pup:in small holes:mammal
|snake:0:hisses:mice and eggs:hatchling:in grass and deserts:reptile|elephant:4:trumpets:grass, leaves and fruit:calf:in Africa and Asia:mammal
|rabbit:4:squeaks:grass and vegetables:kit:in burrows:mammal|spider:8:makes no sound:insects:spiderling:in webs:arachnid
|ant:6:makes no sound:seeds and sugar:larva:in colonies under the ground:insect
|eagle:2:screeches:fish and small animals:eaglet:in high mountains:bird|penguin:2:squawks:fish:chick:in cold places in the south:bird
|kangaroo:2:makes soft clicks:grass:joey:in Australia:mammal|fish:0:makes no sound:plants and small animals:fry:in water:fish"""
)

OPPOSITES = records(
    """hot:cold|big:small|fast:slow|happy:sad|up:down|left:right|day:night|light:dark|open:closed|full:empty|hard:soft
|strong:weak|rich:poor|young:old|new:old|high:low|long:short|loud:quiet|clean:dirty|wet:dry|early:late|easy:difficult
|true:false|begin:end|buy:sell|give:take|win:lose|love:hate|push:pull|inside:outside|above:below|near:far|black:white
|good:bad|heavy:light|thick:thin|wide:narrow|sweet:bitter|brave:afraid|kind:cruel|safe:dangerous|deep:shallow"""
)
# one answer per word: the first pair in the table wins ("old" -> "young", "light" -> "dark")
OPPOSITE_OF = {}
for word, other in OPPOSITES + [(other, word) for word, other in OPPOSITES]:
    OPPOSITE_OF.setdefault(word, other)

SYNONYMS = records(
    """happy:glad|big:large|small:little|fast:quick|smart:clever|begin:start|end:finish|quiet:silent|angry:mad|sad:unhappy
|beautiful:pretty|hard:difficult|easy:simple|help:assist|rich:wealthy|scared:afraid|tired:sleepy|funny:amusing|brave:courageous|important:significant"""
)

PLURALS = records(
    """cat:cats|dog:dogs|book:books|house:houses|child:children|mouse:mice|foot:feet|tooth:teeth|man:men|woman:women|leaf:leaves
|knife:knives|baby:babies|city:cities|box:boxes|bus:buses|wolf:wolves|sheep:sheep|fish:fish|goose:geese|tree:trees|apple:apples
|story:stories|class:classes|potato:potatoes|person:people|car:cars|star:stars|key:keys|day:days"""
)

PAST_TENSES = records(
    """go:went|eat:ate|see:saw|run:ran|write:wrote|take:took|give:gave|come:came|make:made|think:thought|buy:bought|teach:taught
|sing:sang|swim:swam|begin:began|drink:drank|fly:flew|know:knew|play:played|walk:walked|study:studied|read:read|speak:spoke|find:found"""
)

COLORS = records(
    """the sky on a clear day:blue|grass:green|snow:white|a banana:yellow|blood:red|coal:black|an orange:orange|a ripe tomato:red
|the sun at sunset:orange|milk:white|a lemon:yellow|a leaf in summer:green|chocolate:brown|an elephant:gray|a flamingo:pink|the ocean:blue
|a carrot:orange|a strawberry:red|salt:white|a crow:black"""
)
MIXED_COLORS = [
    ("red", "blue", "purple"),
    ("red", "yellow", "orange"),
    ("blue", "yellow", "green"),
    ("red", "white", "pink"),
    ("black", "white", "gray"),
]

PLANETS = records("""Mercury:first:the smallest planet and the closest one to the Sun|Venus:second:the hottest planet
|Earth:third:our home and the only planet known to have life|Mars:fourth:called the Red Planet
|Jupiter:fifth:the largest planet in the solar system|Saturn:sixth:famous for its bright rings
|Uranus:seventh:a cold planet that spins on its side|Neptune:eighth:the farthest planet from the Sun""")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
UNITS = records(
    """seconds:a minute:60|minutes:an hour:60|hours:a day:24|days:a week:7|months:a year:12|days:a year:365|years:a century:100
|years:a decade:10|centimeters:a meter:100|meters:a kilometer:1000|grams:a kilogram:1000|inches:a foot:12|millimeters:a centimeter:10
|weeks:a year:52|sides:a triangle:three|sides:a square:four|sides:a hexagon:six|letters:the English alphabet:26|continents:the world:seven
|planets:the solar system:eight|cents:a dollar:100|degrees:a circle:360|degrees:a right angle:90|players:a soccer team:11|wheels:a bicycle:two
|wheels:a car:four|strings:a violin:four|colors:a rainbow:seven|eggs:a dozen:12|seasons:a year:four"""
)

MISCELLANEOUS = lines("""Who wrote Romeo and Juliet?#Romeo and Juliet was written by William Shakespeare.
Who wrote Hamlet?#Hamlet was written by William Shakespeare.
Who painted the Mona Lisa?#The Mona Lisa was painted by Leonardo da Vinci.
Who discovered gravity?#Isaac Newton described the law of gravity in the 17th century.
Who developed the theory of relativity?#Albert Einstein developed the theory of relativity.
Who was the first person to walk on the Moon?#Neil Armstrong was the first person to walk on the Moon, in 1969.
Who invented the telephone?#Alexander Graham Bell is credited with inventing the telephone.
Who invented the light bulb?#Thomas Edison is known for making the first practical light bulb.
Who is known as the father of computer science?#Alan Turing is often called the father of computer science.
Who was the first president of the United States?#George Washington was the first president of the United States.
What is the largest ocean?#The Pacific Ocean is the largest ocean in the world.
What is the longest river in the world?#The Nile is often called the longest river in the world.
What is the highest mountain in the world?#Mount Everest is the highest mountain in the world.
What is the largest country in the world?#Russia is the largest country in the world by area.
What is the largest animal in the world?#The blue whale is the largest animal in the world.
What is the fastest land animal?#The cheetah is the fastest land animal.
What is the tallest animal in the world?#The giraffe is the tallest animal in the world.
What is the largest desert in the world?#Antarctica is the largest desert, and the Sahara is the largest hot desert.
What is the chemical formula of water?#The chemical formula of water is H2O.
What is water made of?#Water is made of hydrogen and oxygen.
What is the chemical formula of salt?#The chemical formula of table salt is NaCl.
What gas do plants breathe in?#Plants take in carbon dioxide and give off oxygen.
What gas do humans need to breathe?#Humans need oxygen to breathe.
At what temperature does water boil?#Water boils at 100 degrees Celsius at sea level.
At what temperature does water freeze?#Water freezes at 0 degrees Celsius.
How many bones are in the human body?#An adult human body has 206 bones.
How many teeth does an adult have?#Most adults have 32 teeth.
What is the hardest natural material?#Diamond is the hardest natural material.
What is the closest star to the Earth?#The Sun is the closest star to the Earth.
What is the speed of light?#Light travels at about 300,000 kilometers per second.
How far away is the Moon?#The Moon is about 384,000 kilometers away from the Earth.
What language is spoken in Brazil?#The main language of Brazil is Portuguese.
What language is spoken in Mexico?#The main language of Mexico is Spanish.
What is the currency of Japan?#The currency of Japan is the yen.
What is the currency of the United States?#The currency of the United States is the dollar.
What is the currency of Germany?#The currency of Germany is the euro.
What is the square root of 81?#The square root of 81 is 9.
What is the square root of 64?#The square root of 64 is 8.
What is the square root of 144?#The square root of 144 is 12.
What is pi?#Pi is about 3.14. It is the ratio of a circle's circumference to its diameter.
What is the smallest prime number?#The smallest prime number is 2.
What are the primary colors?#The primary colors are red, yellow and blue.
What are the three states of matter?#The three states of matter are solid, liquid and gas.
What are the five senses?#The five senses are sight, hearing, smell, taste and touch.
What are the four seasons?#The four seasons are spring, summer, autumn and winter.
What does CPU stand for?#CPU stands for central processing unit.
What does GPU stand for?#GPU stands for graphics processing unit.
What does RAM stand for?#RAM stands for random access memory.
What does DNA stand for?#DNA stands for deoxyribonucleic acid.
What does WWW stand for?#WWW stands for World Wide Web.""")

DEFINITIONS = lines(
    """photosynthesis#the process by which plants use sunlight, water and carbon dioxide to make food and oxygen
gravity#the force that pulls objects toward each other, such as the force that keeps us on the ground
evaporation#the process in which a liquid turns into a gas
friction#a force that slows things down when two surfaces rub against each other
energy#the ability to do work or cause change
an atom#the smallest unit of an element, made of protons, neutrons and electrons
a molecule#a group of atoms that are joined together
a cell#the smallest living unit of an organism
a black hole#a place in space where gravity is so strong that even light cannot escape
a galaxy#a huge group of stars, gas and dust held together by gravity
a comet#a ball of ice and dust that moves around the Sun
a star#a giant ball of hot gas that gives off light and heat
an eclipse#an event in which one object in space moves into the shadow of another
a volcano#a mountain from which hot melted rock, ash and gas can escape
an earthquake#a sudden shaking of the ground caused by moving rock under the surface
a desert#a dry area of land that gets very little rain
an island#a piece of land that is surrounded by water
a river#a large stream of water that flows toward a lake or the sea
a noun#a word that names a person, place, thing or idea
a verb#a word that describes an action or a state
an adjective#a word that describes a noun
a metaphor#a way of describing one thing by saying that it is another thing
a prime number#a number greater than 1 that can only be divided by 1 and itself
an even number#a number that can be divided by 2 without a remainder
a fraction#a number that represents a part of a whole
an equation#a statement that two expressions are equal
a variable#a name or symbol that stands for a value
a function#a block of code that takes some input, does a task and returns a result
a loop#a part of a program that repeats the same steps several times
an algorithm#a step by step procedure for solving a problem
a computer#a machine that follows instructions to store and process information
the internet#a global network that connects computers so that they can share information
a database#an organized collection of data that can be searched easily
a neural network#a computer model that learns patterns from data, inspired by the brain
machine learning#a way of building programs that learn from data instead of following fixed rules
artificial intelligence#the field of making computers do tasks that normally need human intelligence
a language model#a program that predicts the next word in a text
a token#a small piece of text, such as a word or a part of a word, that a language model reads
Python#a popular programming language that is easy to read and write
a recursive function#a function that calls itself to solve a smaller version of the same problem
a list in Python#an ordered collection of values that can be changed
a string#a sequence of characters, such as a word or a sentence
democracy#a system of government in which the people choose their leaders by voting
a budget#a plan for how to spend and save money
a hypothesis#an idea that can be tested with an experiment
an experiment#a test that is done to learn whether an idea is true
a vaccine#a medicine that teaches the body to fight a disease
a habit#something that you do often and almost without thinking
friendship#a close bond between people who care about each other
courage#the strength to do something even when you are afraid
empathy#the ability to understand how another person feels
a library#a place where people can read and borrow books
a museum#a place where art, history or science is shown to visitors
a telescope#a tool that makes distant objects look closer
a microscope#a tool that makes very small things look larger
a thermometer#a tool that measures temperature
a dictionary#a book that explains the meaning of words
a mammal#an animal that has hair or fur and feeds its young with milk
a reptile#an animal with dry scales, such as a snake or a lizard
an insect#a small animal with six legs
a vegetable#a plant or part of a plant that we eat
climate#the usual weather of a place over many years
electricity#a form of energy that comes from moving electric charges
sound#a vibration that travels through air, water or another material"""
)

WHY = lines(
    """is the sky blue#The sky is blue because [the air scatters blue light from the Sun more than red light|tiny gas molecules in the air scatter short blue waves of sunlight more than long red waves]. [The scattered blue light reaches our eyes from every direction|So we see blue light coming from all parts of the sky].
is the grass green#Grass is green because it contains chlorophyll. Chlorophyll [absorbs red and blue light and reflects green light|helps the plant make food from sunlight and reflects green light].
do we have seasons#We have seasons because the Earth is tilted. [As the Earth moves around the Sun, each half gets more sunlight during one part of the year and less during another|When our half of the Earth leans toward the Sun it is summer, and when it leans away it is winter].
do leaves change color in autumn#In autumn trees stop making chlorophyll. [The green color fades, and yellow and red colors can be seen|Without the green color we can see the yellow, orange and red colors in the leaves].
does ice float on water#Ice floats because it is less dense than liquid water. [When water freezes, its molecules spread out and take up more space|Water expands when it freezes, so ice is lighter for its size].
do we sleep#We sleep because [the body and the brain need time to rest and repair themselves|our bodies need to rest and our brains need to store memories]. [Good sleep helps us learn, stay healthy and feel better|Without enough sleep it is hard to think clearly].
do birds fly south in winter#Many birds fly south in winter because [there is more food and warmer weather there|food is hard to find when it is cold]. They return in spring to [build nests|raise their young].
is the ocean salty#The ocean is salty because [rivers carry small amounts of salt from rocks to the sea|rain washes minerals out of rocks and rivers carry them to the sea]. The water evaporates, but the salt stays behind.
do we see lightning before we hear thunder#We see lightning first because light travels much faster than sound. [The sound of thunder needs more time to reach us|Light reaches us almost at once, while sound takes about three seconds for each kilometer].
does it rain#It rains because [warm air carries water vapor up into the sky, where it cools and forms clouds|water evaporates, rises and cools to form clouds]. When the drops in the clouds become too heavy, they fall as rain.
do stars twinkle#Stars twinkle because their light passes through moving air. [The air bends the light in different directions|Warm and cold layers of air bend the light a little], so the star seems to change its brightness.
is exercise good for you#Exercise is good for you because it [makes your heart and muscles stronger|keeps your heart healthy and your body strong]. It also [improves your mood|helps you sleep better and lowers stress].
should we drink water#We should drink water because [our bodies need it to work well|most of the body is made of water]. Water [carries nutrients and keeps our temperature stable|helps us digest food and stay cool].
do plants need sunlight#Plants need sunlight because they use its energy to make food. This process is called photosynthesis.
do we brush our teeth#We brush our teeth to [remove food and bacteria|keep them clean and healthy]. This [prevents holes in the teeth and keeps our breath fresh|protects us from tooth pain].
is reading important#Reading is important because it [teaches us new words and ideas|helps us learn about the world]. It also [improves memory and imagination|lets us see life through the eyes of other people].
do cats purr#Cats purr when they are [happy and relaxed|calm]. They may also purr to [comfort themselves when they are hurt|calm themselves].
does the Moon change shape#The Moon does not really change shape. As it moves around the Earth, we see [different parts of its bright side|more or less of the side that is lit by the Sun].
do metals feel cold#Metals feel cold because they carry heat away from your hand quickly. They are good conductors of heat.
is honesty important#Honesty is important because it [builds trust between people|helps people trust each other]. When we tell the truth, [others can rely on us|our friendships become stronger].
do we use computers#We use computers because they can [store and process information very quickly|do many calculations in a short time]. They help us [work, learn and talk with other people|write, study and solve problems].
do bees visit flowers#Bees visit flowers to collect nectar and pollen. [While they fly from flower to flower they help plants make seeds|In this way they also carry pollen between plants].
do boats float#Boats float because they push away water. The water pushes back with [a force called buoyancy|an upward force], which holds the boat up.
is recycling important#Recycling is important because it [saves energy and materials|turns waste into useful things]. It also [keeps land and water clean|reduces the amount of trash]."""
)

ADVICE = [
    (goal, tips.split(";"))
    for goal, tips in lines(
        """focus while studying#study in a quiet place, such as the library;put your phone in another room;take a short break every 25 minutes;make a list of small goals;get enough sleep;start with the hardest task;turn off notifications
sleep better#go to bed at the same time every night;avoid screens for an hour before bed;keep your bedroom cool and dark;avoid coffee in the evening;read a book to relax;write down your worries before bed;take a warm bath
save money#make a budget;cook at home more often;write down what you spend;avoid buying things you do not need;compare prices before you buy;set a savings goal;use public transport
learn a new language#practice a little every day;listen to songs in that language;learn five new words each day;speak with other learners;watch films with subtitles;read simple stories;keep a small notebook of words
stay healthy#eat more fruit and vegetables;drink enough water;go for a walk every day;get enough sleep;wash your hands often;spend time with friends;avoid too much sugar
learn programming#start with a simple language such as Python;write small programs every day;read code written by others;practice solving problems;build a small project;learn how to read error messages;ask questions when you are stuck
prepare for an exam#make a study plan;review your notes every day;solve old exam questions;explain the topic to a friend;sleep well the night before;start early;make flash cards
reduce stress#breathe slowly and deeply;go for a walk outside;talk to a friend;listen to calm music;do one thing at a time;get some exercise;take short breaks
cook a good dinner#choose a simple recipe;prepare the vegetables first;use fresh herbs;taste the food while you cook;do not use too much salt;clean as you go;cook some rice or pasta on the side
write better#read a lot of good books;use short sentences;write every day;read your text aloud;remove words you do not need;ask a friend for feedback;make an outline first
make new friends#join a club or a class;smile and say hello;ask people about their hobbies;be a good listener;invite someone for coffee;be kind and patient;volunteer in your town
plan a trip#choose a place you really want to see;set a budget;book a room early;check the weather;pack light;learn a few words of the local language;make a list of sights
take care of a dog#walk the dog every day;give it fresh water;feed it twice a day;visit the vet once a year;play with it;brush its fur;train it with small rewards
get up early#set an alarm across the room;go to bed earlier;open the curtains right away;drink a glass of water;plan something nice for the morning;keep the same schedule on weekends;prepare your clothes in the evening
exercise more#start with a short walk;find a friend to exercise with;choose a sport that you enjoy;use the stairs;set a small weekly goal;keep your shoes by the door;track your progress
read more books#keep a book by your bed;read ten pages a day;join a book club;choose topics that you enjoy;leave your phone in another room;visit the library;always carry a book with you"""
    )
]

LISTS = [
    (kind, items.split(";"))
    for kind, items in (
        record.split("#")
        for (record,) in records(
            """fruits#apple;banana;orange;pear;grape;mango;strawberry;cherry|vegetables#carrot;potato;tomato;onion;cabbage;spinach;pepper
|colors#red;blue;green;yellow;purple;orange;black;white|animals#dog;cat;horse;lion;elephant;rabbit;bear;wolf
|sports#soccer;tennis;basketball;swimming;running;cycling;baseball|musical instruments#piano;guitar;violin;drum;flute;trumpet
|planets#Mercury;Venus;Earth;Mars;Jupiter;Saturn;Uranus;Neptune|countries in Europe#France;Germany;Italy;Spain;Poland;Greece;Sweden
|programming languages#Python;Java;C;Rust;JavaScript;Ruby;Go|things in a kitchen#a spoon;a knife;a plate;a cup;a pan;an oven
|things in a classroom#a desk;a chair;a book;a pencil;a board;a map|jobs#teacher;doctor;farmer;cook;nurse;driver;artist
|hobbies#reading;painting;cooking;hiking;singing;fishing;gardening|kinds of weather#rain;snow;sun;wind;fog;storm
|healthy foods#apples;nuts;fish;beans;spinach;yogurt|metals#iron;gold;silver;copper;zinc;lead|oceans#the Pacific;the Atlantic;the Indian;the Arctic
|insects#ant;bee;butterfly;fly;beetle|birds#eagle;owl;duck;penguin;robin;crow|emotions#joy;sadness;anger;fear;surprise;love"""
        )
    )
]

# three pools of lines with 5, 7 and 5 syllables
HAIKU = [
    (topic, [pool.split(";") for pool in pools])
    for topic, *pools in lines(
        """rain#Soft rain on the roof;Gray clouds drift and fall;Cool drops touch the leaves#The garden drinks in silence;Small rivers run down the street;A child splashes in puddles#The world smells like spring;The earth wakes up green;A fresh day begins
snow#White snow fills the air;Snow falls through the night;The cold wind is still#Every branch wears a white coat;The whole village sleeps in peace;Footprints lead into the woods#The world is silent;Winter holds its breath;Morning shines like glass
the sea#Waves roll to the shore;Blue water and sky;The sea sings at night#A small boat rocks in the wind;White birds fly above the foam;The moon draws the tide to land#Salt is in the air;The shore waits for dawn;My heart finds its calm
autumn#Red leaves start to fall;Cold wind shakes the trees;Gold light on the hills#The path is covered in gold;Geese call high above the fields;Farmers bring the harvest home#Summer says goodbye;The year grows quiet;Smoke drifts in the air
spring#Pink flowers open;Warm sun on my face;Birds sing in the trees#A bee hums from bloom to bloom;The ice melts into the stream;Children run across the grass#New life is all here;The earth smiles again;Winter is a dream
the moon#Bright moon in the sky;Silver light at night;The moon climbs the hill#It shines on the sleeping town;Its face floats upon the lake;An owl calls out from the dark#The stars keep it warm;I walk home slowly;The night is a friend
a cat#The cat starts to yawn;Soft paws on the floor;Green eyes in the dark#It curls up next to the fire;A small mouse hides in the wall;Its tail moves left and then right#Sleep comes easily;The house is all hers;She dreams of a fish
a computer#A screen glows at night;My keys softly click;The code runs again#A small bug hides in the lines;The fan hums a gentle song;Numbers flow like a river#The program is done;I should go to bed;One more test will pass
friendship#We walk side by side;Your laugh is so warm;Two friends on a bench#We share our bread and our dreams;You listen when I am sad;The years pass but we remain#My heart is not cold;I am not alone;A hand to hold mine
the forest#Tall trees in the mist;Deep green all around;A path through the woods#A deer stops and looks at me;The wind whispers in the pines;Mushrooms grow under the oak#I breathe and am still;Peace lives in this place;The birds know the way"""
    )
]

# analogies: concept -> sentence per theme; object -> theme and sentence
CONCEPTS = [
    (concept, dict(said.split(":", 1) for said in themes))
    for concept, *themes in lines(
        """mathematics#guide:mathematics guides us to the truth in a world of numbers and logic#grow:mathematics grows from a few simple rules into a rich and beautiful subject#connect:mathematics connects ideas from science, art and daily life#build:mathematics builds each new result on the results that came before#power:mathematics gives power to science and engineering
education#guide:education guides students through the difficult choices of life#grow:education helps a young mind grow a little every day#connect:education connects people with the knowledge of the past#build:education builds strong skills step by step#power:education gives people the power to change their lives
friendship#guide:friendship shows us the right way in hard times#grow:friendship grows slowly with care and patience#connect:friendship connects two people even when they are far apart#build:friendship is built on trust and small acts of kindness#power:friendship gives us the strength to go on
science#guide:science guides us from questions to answers#grow:science grows as new discoveries are made#connect:science connects what we see with what we can explain#build:science builds theories on careful experiments#power:science gives us the power to solve real problems
music#guide:music leads our feelings from sadness to joy#grow:music grows from a single note into a whole song#connect:music connects people who speak different languages#build:music builds a melody out of simple sounds#power:music fills us with energy
the brain#guide:the brain guides every move of the body#grow:the brain grows stronger when it learns#connect:the brain connects memories, senses and thoughts#build:the brain builds a picture of the world from small signals#power:the brain gives power to every action
a computer program#guide:a program tells the computer what to do next#grow:a program grows as new functions are added#connect:a program connects the user with the machine#build:a program is built from small simple parts#power:a program turns data into useful results
a book#guide:a book leads the reader through a new world#grow:a book makes our imagination grow#connect:a book connects the writer with readers everywhere#build:a book builds a story word by word#power:a book gives us knowledge and hope"""
    )
]
OBJECTS = [
    (thing, theme, said.split(";"))
    for thing, theme, said in lines(
        """a lighthouse#guide#a lighthouse guides ships safely to the shore;a lighthouse shines through the dark and the fog
a compass#guide#a compass shows travelers the right direction;a compass always points north
a map#guide#a map shows the way through an unknown land;a map helps travelers find the best road
a garden#grow#a garden grows from small seeds into bright flowers;a garden needs water, light and care
a tree#grow#a tree grows slowly and reaches for the light;a tree spreads its roots deep in the ground
a bridge#connect#a bridge connects two sides of a river;a bridge lets people meet each other
a spider web#connect#a web connects many points with thin threads;a web holds together even in the wind
a house#build#a house is built brick by brick on a strong base;a house needs a good plan before the work starts
a ladder#build#a ladder takes us up one step at a time;a ladder needs every step to be strong
an engine#power#an engine turns fuel into motion;an engine gives a car its power
the sun#power#the sun gives light and energy to every living thing;the sun rises each day without fail
a river#grow#a river starts as a small stream and grows on its way;a river finds its way around every rock"""
    )
]

NAMES = "Alice Bob Tom Emma Lily Ben Anna Sam Mia Max Sara Jack Lucy Tim Kate Leo Nina Paul Rosa Adam".split()
